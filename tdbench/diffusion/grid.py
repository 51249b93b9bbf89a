"""Time grids: a real-valued index that counts towards the data, its time, and a sampler's times.

A time is whatever a formulation measures it by: sigma for EDM, VE and CT, t in (0, 1] for VP, an integer
1..T for DDPM. Index 0 is the noisiest time. All arithmetic is best done in float64.
"""

import math
from abc import abstractmethod
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tdbench.settings import Parameters

_MOST_POINTS = 1_000_000
# Indices that are whole numbers come back from `index` with rounding errors.
_SLACK = 1e-6


class TimeGrid(Parameters):
    """What pairs of times and samplers need of a grid."""

    @property
    @abstractmethod
    def last(self) -> int:
        """The last index: that of the time nearest the data."""

    @abstractmethod
    def time(self, index: Tensor) -> Tensor:
        """Time at the real index ``index``, any shape; extrapolated beyond the grid, down to no noise."""

    @abstractmethod
    def index(self, time: Tensor) -> Tensor:
        """Real index of a time, any shape: the inverse of `time`."""

    def times(self, num_steps: int) -> Tensor:
        """The times of a sampler with that budget, (num_steps,) float64, falling from index 0 to the last index.

        One step is the single jump from the noisiest time to the data.
        """
        ramp = torch.arange(num_steps, dtype=torch.float64) / max(num_steps - 1, 1)
        return self.time(ramp * self.last)

    def holds(self, index: Tensor, reach: float) -> Tensor:
        """Whether an index and the one ``reach`` further both lie on the grid (bool, any shape)."""
        return (index >= -_SLACK) & (index + reach <= self.last + _SLACK)


class _SigmaRange(TimeGrid):
    """N points between two noise levels."""

    num_steps: Annotated[int, Field(ge=2, le=_MOST_POINTS, description="N, the number of grid points")] = 18
    sigma_min: Annotated[float, Field(ge=1e-9)] = 0.002
    sigma_max: Annotated[float, Field(gt=0, le=1e9)] = 80.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"sigma_max {self.sigma_max:g} must exceed sigma_min {self.sigma_min:g}")
        return self

    @property
    def last(self) -> int:
        return self.num_steps - 1


class KarrasGrid(_SigmaRange):
    """EDM's grid of noise levels.

    sigma(i) = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, so i = 0 is
    sigma_max and i = N - 1 is sigma_min (Karras et al. 2022, eq. 5).
    """

    # Its reciprocal is an exponent: of smaller and of larger ones the powers overflow, or all points are one.
    rho: Annotated[float, Field(ge=0.1, le=1000)] = 7.0

    def time(self, index: Tensor) -> Tensor:
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return torch.pow((top + index / self.last * (bottom - top)).clamp_min(0), self.rho)

    def index(self, time: Tensor) -> Tensor:
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        index: Tensor = self.last * (time ** (1 / self.rho) - top) / (bottom - top)
        return index


class GeometricGrid(_SigmaRange):
    """The VE-SDE's grid: sigma falls by one factor a step (Song et al. 2021; Karras et al. 2022, table 1)."""

    sigma_min: Annotated[float, Field(ge=1e-9)] = 0.02
    sigma_max: Annotated[float, Field(gt=0, le=1e9)] = 100.0

    def time(self, index: Tensor) -> Tensor:
        return self.sigma_max * (self.sigma_min / self.sigma_max) ** (index / self.last)

    def index(self, time: Tensor) -> Tensor:
        return self.last * (time / self.sigma_max).log() / math.log(self.sigma_min / self.sigma_max)


class LinearGrid(TimeGrid):
    """The VP-SDE's grid: N times that fall evenly from 1 to ``time_min`` (Song et al. 2021)."""

    num_steps: Annotated[int, Field(ge=2, le=_MOST_POINTS, description="N, the number of grid points")] = 18
    time_min: Annotated[float, Field(gt=0, lt=1)] = 1e-3

    @property
    def last(self) -> int:
        return self.num_steps - 1

    def time(self, index: Tensor) -> Tensor:
        return (1 + index / self.last * (self.time_min - 1)).clamp_min(0)

    def index(self, time: Tensor) -> Tensor:
        return self.last * (1 - time) / (1 - self.time_min)


class DiscreteGrid(TimeGrid):
    """The steps T, T - 1, ..., 1, 0 of a discrete process; 0 is the data itself."""

    num_steps: Annotated[int, Field(ge=2, le=_MOST_POINTS, description="T, the number of diffusion steps")] = 1000

    @property
    def last(self) -> int:
        return self.num_steps

    def time(self, index: Tensor) -> Tensor:
        return (self.num_steps - index).clamp_min(0)

    def index(self, time: Tensor) -> Tensor:
        return self.num_steps - time

    def times(self, num_steps: int) -> Tensor:
        """Steps spaced as evenly as whole numbers allow, T first and 1 last.

        Raises
        ------
        ValueError
            If there are more steps than T.
        """
        if num_steps > self.num_steps:
            raise ValueError(f"a discrete process of T = {self.num_steps} has no {num_steps} steps to sample at")
        ramp = torch.arange(num_steps, dtype=torch.float64) / max(num_steps - 1, 1)
        return (self.num_steps - ramp * (self.num_steps - 1)).round()
