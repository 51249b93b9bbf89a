"""EDM (Karras et al. 2022): noise added to images that keep their scale, time measured by sigma."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation, TDPreset
from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.preconditioning import EDMPreconditioning
from tdbench.diffusion.processes import Level, variance_exploding


class EDM(Formulation):
    """EDM's process, preconditioning, noise distribution and weighted denoising loss.

    A time is the noise level sigma itself. The grid serves the pairs of the TD objective and gives the
    samplers their range.
    """

    kind: Literal["edm"] = "edm"
    sigma_data: Annotated[float, Field(gt=0, description="standard deviation of the data")] = 0.5
    p_mean: Annotated[float, Field(description="mean of ln sigma in training")] = -1.2
    p_std: Annotated[float, Field(gt=0, description="standard deviation of ln sigma in training")] = 1.2
    grid: KarrasGrid = KarrasGrid()

    td_presets: ClassVar[Mapping[str, TDPreset]] = {
        "paper": TDPreset("pairwise", lambda_=0.5, span=1.0, stride=0.25, coupling="markov", posterior="ancestral"),
        "release": TDPreset("source", lambda_=0.5, span=3.0, stride=0.2, coupling="markov", posterior="ancestral"),
    }

    def preconditioning(self) -> EDMPreconditioning:
        return EDMPreconditioning(self.sigma_data)

    def level(self, t: Tensor) -> Level:
        return variance_exploding(t)

    def time_of(self, ratio: Tensor) -> Tensor:
        return ratio

    def sample_time(self, z: Tensor) -> Tensor:
        """ln sigma ~ N(p_mean, p_std^2)."""
        return (self.p_mean + self.p_std * z.double()).exp()
