"""EDM (Karras et al. 2022): noise added to images that keep their scale, time measured by sigma."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.objectives.base import PairTimes, per_image_mean
from tdbench.diffusion.preconditioning import EDMPreconditioning
from tdbench.diffusion.processes import Level, variance_exploding
from tdbench.parameters import Parameters


class EDM(Parameters):
    """EDM's process, preconditioning, noise distribution and weighted denoising loss.

    A time is the noise level sigma itself. The grid serves the pairs of the TD objective and gives the
    samplers their range.
    """

    kind: Literal["edm"] = "edm"
    sigma_data: Annotated[float, Field(gt=0, description="standard deviation of the data")] = 0.5
    p_mean: Annotated[float, Field(description="mean of ln sigma in training")] = -1.2
    p_std: Annotated[float, Field(gt=0, description="standard deviation of ln sigma in training")] = 1.2
    grid: KarrasGrid = KarrasGrid()

    def preconditioning(self) -> EDMPreconditioning:
        return EDMPreconditioning(self.sigma_data)

    def level(self, t: Tensor) -> Level:
        return variance_exploding(t)

    def c_out(self, t: Tensor) -> Tensor:
        return self.preconditioning().c_out(t)

    def sample_time(self, z: Tensor) -> Tensor:
        """ln sigma ~ N(p_mean, p_std^2)."""
        return (self.p_mean + self.p_std * z).exp()

    def pair_times(self, t: Tensor, span: float, stride: float) -> PairTimes:
        """Valid where sigma_min <= sigma_t <= sigma_max and i_t <= N - 1 - (span + stride)."""
        last = self.grid.num_steps - 1
        index = self.grid.index(t)
        valid = (t >= self.grid.sigma_min) & (t <= self.grid.sigma_max) & (index <= last - (span + stride))
        # Beyond its end the grid's formula goes on: the point x_t' is still a less noisy one of the same path.
        ahead = [self.grid.sigma(index + shift) for shift in (span, stride, span + stride)]
        return PairTimes(*ahead, valid)

    def base_loss(self, error: Tensor, t: Tensor) -> Tensor:
        """EDM's weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, which is 1 / c_out^2."""
        return per_image_mean(error**2 / self.c_out(t) ** 2)
