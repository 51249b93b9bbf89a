"""VE-SDE (Song et al. 2021) as in EDM's table 1: alpha = 1, noise levels evenly spread in ln sigma."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from tdbench.diffusion.formulations.base import BETWEEN_STEPS, Formulation, TDPreset, uniform
from tdbench.diffusion.grid import GeometricGrid
from tdbench.diffusion.preconditioning import VEPreconditioning
from tdbench.diffusion.processes import Level, variance_exploding


class VE(Formulation):
    """The continuous variance-exploding process; a time is sigma.

    The grid, geometric between sigma_max and sigma_min, is the sampler's own and the one that the pairs of
    the TD objective lie on; training draws ln sigma evenly from the same range.
    """

    kind: Literal["ve"] = "ve"
    grid: GeometricGrid = GeometricGrid()

    # The range of the noise levels matters, the number of grid points does not.
    no_matter_to_baseline: ClassVar[Mapping[str, bool | set[str]]] = {"grid": {"num_steps"}}
    td_presets: ClassVar[Mapping[str, TDPreset]] = {"paper": BETWEEN_STEPS}

    def preconditioning(self) -> VEPreconditioning:
        return VEPreconditioning()

    def level(self, t: Tensor) -> Level:
        return variance_exploding(t)

    def time_of(self, ratio: Tensor) -> Tensor:
        return ratio

    def sample_time(self, z: Tensor) -> Tensor:
        """ln sigma ~ U(ln sigma_min, ln sigma_max)."""
        low, high = math.log(self.grid.sigma_min), math.log(self.grid.sigma_max)
        return (low + uniform(z) * (high - low)).exp()
