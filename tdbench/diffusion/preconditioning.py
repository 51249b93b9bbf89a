"""From a raw network F to a denoiser D(x, t) = c_skip(t) x + c_out(t) F(c_in(t) x, c_noise(t))."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tdbench.diffusion.processes import Level, like


class Condition(NamedTuple):
    """Inputs of a network besides image and noise level."""

    labels: Tensor | None = None
    """(N, num_classes) one-hot classes, for a class-conditional network."""
    augmentation: Tensor | None = None
    """(N, 9) labels of the augmentation that the image went through; None means untouched."""

    def of(self, images: Tensor | slice) -> "Condition":
        """That of some of the images."""
        return Condition(*(None if told is None else told[images] for told in self))


UNCONDITIONAL = Condition()
DenoiserCall = Callable[[Tensor, Tensor, Condition], Tensor]
"""(x, t, condition) -> estimate of x0."""


class Preconditioning(Protocol):
    """The four coefficients at a time of the formulation; each takes and returns (N, 1, 1, 1)."""

    embedding_scale: float
    """What c_noise is multiplied by for a network whose time embedding is made for steps 0..1000."""

    def c_skip(self, t: Tensor) -> Tensor: ...
    def c_out(self, t: Tensor) -> Tensor:
        """How an error of F becomes an error of D, up to its sign."""

    def c_in(self, t: Tensor) -> Tensor: ...
    def c_noise(self, t: Tensor) -> Tensor: ...


class EDMPreconditioning:
    """Karras et al. 2022, table 1, column "Ours"; a time is sigma.

    Parameters
    ----------
    sigma_data : float
        Standard deviation of the data, for images in [-1, 1].
    """

    # ln(sigma)/4 spans about -1.6..1.1.
    embedding_scale = 1000.0

    def __init__(self, sigma_data: float) -> None:
        self.sigma_data = sigma_data

    def c_skip(self, t: Tensor) -> Tensor:
        return self.sigma_data**2 / (t**2 + self.sigma_data**2)

    def c_out(self, t: Tensor) -> Tensor:
        """sigma sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return t * self.sigma_data / (t**2 + self.sigma_data**2).sqrt()

    def c_in(self, t: Tensor) -> Tensor:
        return 1 / (t**2 + self.sigma_data**2).sqrt()

    def c_noise(self, t: Tensor) -> Tensor:
        return t.log() / 4


class ConsistencyPreconditioning(EDMPreconditioning):
    """EDM's with the boundary condition D(x, sigma_min) = x (Song et al. 2023, appendix C).

    Parameters
    ----------
    noise_scale : float
        c_noise = noise_scale ln(sigma)/4. 1000 is made for embeddings of the steps 0..1000, 1 for Fourier features.
    """

    def __init__(self, sigma_data: float, sigma_min: float, noise_scale: float = 1000.0) -> None:
        super().__init__(sigma_data)
        self.sigma_min, self.noise_scale = sigma_min, noise_scale
        self.embedding_scale = 1000 / noise_scale

    def c_skip(self, t: Tensor) -> Tensor:
        return self.sigma_data**2 / ((t - self.sigma_min) ** 2 + self.sigma_data**2)

    def c_out(self, t: Tensor) -> Tensor:
        """(sigma - sigma_min) sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return (t - self.sigma_min) * self.sigma_data / (t**2 + self.sigma_data**2).sqrt()

    def c_noise(self, t: Tensor) -> Tensor:
        return self.noise_scale / 4 * (t + 1e-44).log()


class VEPreconditioning:
    """Karras et al. 2022, table 1, column "VE"; a time is sigma and F predicts -eps."""

    # ln(sigma/2) spans about -4.6..3.9.
    embedding_scale = 250.0

    def c_skip(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def c_out(self, t: Tensor) -> Tensor:
        return t

    def c_in(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def c_noise(self, t: Tensor) -> Tensor:
        return (t / 2).log()


class NoisePrediction:
    """F predicts eps of x = alpha x0 + sigma eps: D = (x - sigma F) / alpha (DDPM, DDIM, VP).

    The same as column "VP" of Karras et al. 2022, table 1, for images that are not divided by alpha.

    Parameters
    ----------
    level : callable
        Time -> `Level`.
    c_noise : callable
        Time -> the network's time input, within 0..1000.
    """

    embedding_scale = 1.0

    def __init__(self, level: Callable[[Tensor], Level], c_noise: Callable[[Tensor], Tensor]) -> None:
        self._level, self._c_noise = level, c_noise

    def c_skip(self, t: Tensor) -> Tensor:
        return 1 / self._level(t).alpha

    def c_out(self, t: Tensor) -> Tensor:
        level = self._level(t)
        return -level.sigma / level.alpha

    def c_in(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def c_noise(self, t: Tensor) -> Tensor:
        return self._c_noise(t)


class Denoiser(nn.Module):
    """A network with its preconditioning: estimates x0 from a noisy image.

    Parameters
    ----------
    network : nn.Module
        Called as ``network(x, c_noise, labels, augmentation)`` with ``c_noise`` of shape (N,).
    preconditioning : Preconditioning
    """

    def __init__(self, network: nn.Module, preconditioning: Preconditioning) -> None:
        super().__init__()
        self.network = network
        self.preconditioning = preconditioning

    def forward(self, x: Tensor, t: Tensor, condition: Condition = UNCONDITIONAL) -> Tensor:
        """D(x, t), (N, C, H, W).

        Parameters
        ----------
        x : Tensor
            (N, C, H, W) noisy images.
        t : Tensor
            (N, 1, 1, 1) or (1, 1, 1, 1) times of the formulation. The coefficients are computed in its
            precision and on its device, the network in that of ``x``.
        condition : Condition
        """
        p = self.preconditioning
        c_skip, c_out, c_in, c_noise = (like(c(t), x) for c in (p.c_skip, p.c_out, p.c_in, p.c_noise))
        raw: Tensor = self.network(
            c_in * x, c_noise.flatten().expand(x.shape[0]), condition.labels, condition.augmentation
        )
        return c_skip * x + c_out * raw


FORWARD, BACKWARD = 1, 2
"""Passes of an image. A backward pass computes the gradients of activations and of weights, a forward pass each."""


class CountingDenoiser:
    """A denoiser that counts what it is used for, so that cost and NFE are counted and not computed from a formula.

    Attributes
    ----------
    calls : int
        Evaluations of a batch: NFE.
    passes : int
        Passes of images: `FORWARD` for each image, and `BACKWARD` if the call records a gradient.
    """

    def __init__(self, denoiser: DenoiserCall) -> None:
        self.denoiser, self.calls, self.passes = denoiser, 0, 0

    def __call__(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        self.calls += 1
        self.passes += len(x) * (FORWARD + BACKWARD * torch.is_grad_enabled())
        return self.denoiser(x, t, condition)
