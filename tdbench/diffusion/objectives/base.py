"""What a formulation offers to the trainer, the samplers and the temporal-difference objective."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.preconditioning import Preconditioning
from tdbench.diffusion.processes import Level


class Noise(NamedTuple):
    """The standard normal draws behind the loss of one batch."""

    time: Tensor
    """(N, 1, 1, 1): picks the noise level."""
    image: Tensor
    """(N, C, H, W): the noise of the image."""
    pair: Tensor
    """(N, C, H, W): the further noise that a second point of the path needs."""

    @classmethod
    def draw(cls, x0: Tensor, shared: torch.Generator, pair: torch.Generator) -> "Noise":
        """Draws for the images ``x0``.

        ``shared`` gives what every objective uses, ``pair`` what only paired points need: a baseline
        and its TD twin therefore get the same ``time`` and ``image``.
        """
        options = {"device": x0.device, "dtype": x0.dtype}
        time = torch.randn((x0.shape[0], 1, 1, 1), generator=shared, **options)
        image = torch.randn(x0.shape, generator=shared, **options)
        return cls(time, image, torch.randn(x0.shape, generator=pair, **options))


class Losses(NamedTuple):
    """The loss of a batch, image by image; each (N,)."""

    total: Tensor
    """What is minimised."""
    base: Tensor
    """The formulation's own loss at the same x_t."""
    td: Tensor
    """w ||delta||^2, zero where there is no valid pair."""
    valid: Tensor
    """Whether the image has a valid pair (bool)."""


class PairTimes(NamedTuple):
    """The three further times of a temporal difference; each (N, 1, 1, 1).

    Where ``valid`` is false, tau and tau' are not used, and t' only says how x_t is drawn.
    """

    t_prime: Tensor
    tau: Tensor
    tau_prime: Tensor
    valid: Tensor


class Formulation(Protocol):
    """A forward process with its parameterization, time grid and own loss. Times are (N, 1, 1, 1)."""

    grid: KarrasGrid

    def preconditioning(self) -> Preconditioning: ...

    def level(self, t: Tensor) -> Level:
        """alpha and sigma at the times ``t``."""

    def c_out(self, t: Tensor) -> Tensor:
        """How an error of the network becomes an error of x0 at the times ``t``."""

    def sample_time(self, z: Tensor) -> Tensor:
        """The times that the standard normal ``z`` picks for training."""

    def pair_times(self, t: Tensor, span: float, stride: float) -> PairTimes:
        """t' = t "+ span", tau = t "+ stride", tau' = t' "+ stride", counted towards the data."""

    def base_loss(self, error: Tensor, t: Tensor) -> Tensor:
        """(N,) loss of the errors x0 - D(x_t), mean over channels and pixels."""


def per_image_mean(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N,)."""
    return x.flatten(1).mean(1)
