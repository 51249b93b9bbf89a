"""From a raw network F to a denoiser D(x, t) = c_skip x + c_out F(c_in x, c_noise)."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

RawNetwork = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Preconditioning(Protocol):
    """The four coefficients at a noise level; each takes and returns (N, 1, 1, 1)."""

    def c_skip(self, sigma: Tensor) -> Tensor: ...
    def c_out(self, sigma: Tensor) -> Tensor: ...
    def c_in(self, sigma: Tensor) -> Tensor: ...
    def c_noise(self, sigma: Tensor) -> Tensor: ...


class EDMPreconditioning:
    """Karras et al. 2022, table 1, column "Ours".

    Parameters
    ----------
    sigma_data : float
        Standard deviation of the data, for images in [-1, 1].
    """

    def __init__(self, sigma_data: float) -> None:
        self.sigma_data = sigma_data

    def c_skip(self, sigma: Tensor) -> Tensor:
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def c_out(self, sigma: Tensor) -> Tensor:
        """How an error of F becomes an error of D, sigma sigma_data / sqrt(sigma^2 + sigma_data^2)."""
        return sigma * self.sigma_data / (sigma**2 + self.sigma_data**2).sqrt()

    def c_in(self, sigma: Tensor) -> Tensor:
        return 1 / (sigma**2 + self.sigma_data**2).sqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        return sigma.log() / 4


class Denoiser(nn.Module):
    """A network with its preconditioning: estimates x0 from a noisy image.

    Parameters
    ----------
    network : nn.Module
        Called as ``network(x, c_noise, labels)`` with ``c_noise`` of shape (N,).
    preconditioning : Preconditioning
    """

    def __init__(self, network: nn.Module, preconditioning: Preconditioning) -> None:
        super().__init__()
        self.network = network
        self.preconditioning = preconditioning

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """D(x, sigma).

        Parameters
        ----------
        x : Tensor
            (N, C, H, W) noisy images.
        sigma : Tensor
            (N, 1, 1, 1) or (1, 1, 1, 1) noise levels.
        labels : Tensor or None
            (N, num_classes) one-hot classes, for a class-conditional network.
        """
        p = self.preconditioning
        c_noise = p.c_noise(sigma).flatten().expand(x.shape[0])
        return p.c_skip(sigma) * x + p.c_out(sigma) * self.network(p.c_in(sigma) * x, c_noise, labels)
