"""Grids of noise levels."""

from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tdbench.parameters import Parameters


class KarrasGrid(Parameters):
    """EDM's grid of noise levels with a real-valued index that counts towards the data.

    sigma(i) = (sigma_max^(1/rho) + i/(N-1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, so i = 0 is
    sigma_max and i = N - 1 is sigma_min (Karras et al. 2022, eq. 5).
    """

    num_steps: Annotated[int, Field(ge=2, description="N, the number of grid points")] = 18
    sigma_min: Annotated[float, Field(gt=0)] = 0.002
    sigma_max: Annotated[float, Field(gt=0)] = 80.0
    rho: Annotated[float, Field(gt=0)] = 7.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.sigma_max <= self.sigma_min:
            raise ValueError(f"sigma_max {self.sigma_max:g} must exceed sigma_min {self.sigma_min:g}")
        return self

    def sigma(self, index: Tensor) -> Tensor:
        """Noise level at the real index ``index``, any shape.

        Outside [0, N - 1] the formula goes on, above sigma_max before the grid and towards 0 behind it.
        """
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return (top + index / (self.num_steps - 1) * (bottom - top)).clamp_min(0) ** self.rho

    def index(self, sigma: Tensor) -> Tensor:
        """Real index at the noise level ``sigma`` > 0, any shape: the inverse of `sigma`."""
        top, bottom = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return (self.num_steps - 1) * (sigma ** (1 / self.rho) - top) / (bottom - top)

    def levels(self, num_steps: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """The ``num_steps`` noise levels of a sampler with that budget, falling, then 0: (num_steps + 1,).

        One step is the single jump from sigma_max to 0.
        """
        ramp = torch.arange(num_steps, dtype=torch.float64) / max(num_steps - 1, 1)
        sigma = self.sigma(ramp * (self.num_steps - 1))
        return torch.cat([sigma, torch.zeros(1, dtype=torch.float64)]).to(dtype)
