"""VP-SDE (Song et al. 2021): images shrink as noise is added, so that their variance stays near 1."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from tdbench.diffusion.formulations.base import BETWEEN_STEPS, Formulation, TDPreset, uniform
from tdbench.diffusion.grid import LinearGrid
from tdbench.diffusion.preconditioning import NoisePrediction
from tdbench.diffusion.processes import Level

_STEPS = 1000  # M of Karras et al. 2022, table 1: the network's time input is (M - 1) t


class VP(Formulation):
    """The continuous variance-preserving process with beta(t) = beta_min + t beta_d, t in (0, 1].

    alpha_t = exp(-1/2 int_0^t beta) with int_0^t beta = beta_d t^2 / 2 + beta_min t, and
    sigma_t = sqrt(1 - alpha_t^2). The network predicts eps.
    """

    kind: Literal["vp"] = "vp"
    beta_d: Annotated[float, Field(gt=0, description="slope of beta(t)")] = 19.9
    beta_min: Annotated[float, Field(ge=0, description="beta(0)")] = 0.1
    time_min: Annotated[float, Field(gt=0, lt=1, description="the smallest time of training")] = 1e-5
    grid: LinearGrid = LinearGrid()

    td_presets: ClassVar[Mapping[str, TDPreset]] = {"paper": BETWEEN_STEPS}

    def preconditioning(self) -> NoisePrediction:
        return NoisePrediction(self.level, lambda t: (_STEPS - 1) * t)

    def level(self, t: Tensor) -> Level:
        integral = self.beta_d * t**2 / 2 + self.beta_min * t
        # expm1 keeps the digits of sigma near the data.
        return Level((-integral / 2).exp(), (-torch.expm1(-integral)).sqrt())

    def time_of(self, ratio: Tensor) -> Tensor:
        """From (sigma / alpha)^2 = exp(int beta) - 1, a quadratic in t."""
        integral = torch.log1p(ratio**2)
        return 2 * integral / (self.beta_min + (self.beta_min**2 + 2 * self.beta_d * integral).sqrt())

    def sample_time(self, z: Tensor) -> Tensor:
        """t ~ U(time_min, 1)."""
        return self.time_min + uniform(z) * (1 - self.time_min)
