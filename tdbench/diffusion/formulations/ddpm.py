"""DDPM (Ho et al. 2020) and DDIM (Song, Meng & Ermon 2021): one discrete process of T steps, one model.

The two differ in the posterior between two times, so in the TD objective and the sampler; a baseline
of the one is a baseline of the other and is trained once.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from tdbench.diffusion.formulations.base import WHOLE_STEPS, Formulation, TDPreset, uniform
from tdbench.diffusion.grid import DiscreteGrid
from tdbench.diffusion.preconditioning import NoisePrediction
from tdbench.diffusion.processes import Level

Schedule = Literal["linear", "cosine"]


@cache
def log_alpha_bar(schedule: Schedule, num_steps: int) -> Tensor:
    """ln of the running product of 1 - beta_t, for t = 0..T, (T + 1,) float64; 0 at t = 0.

    ``linear``: beta from 1e-4 to 0.02 (Ho et al. 2020), scaled by 1000 / T so that other T end alike.
    ``cosine``: alpha_bar(t) = f(t)/f(0), f(t) = cos^2((t/T + s)/(1 + s) pi/2), s = 0.008, beta at most
    0.999 (Nichol & Dhariwal 2021, eq. 17).
    """
    if schedule == "linear":
        scale = 1000 / num_steps
        beta = torch.linspace(1e-4 * scale, 0.02 * scale, num_steps, dtype=torch.float64)
    else:
        t = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
        f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return torch.cat([torch.zeros(1, dtype=torch.float64), torch.log1p(-beta).cumsum(0)])


class _Discrete(Formulation):
    """alpha_t = sqrt(alpha_bar_t), sigma_t = sqrt(1 - alpha_bar_t) for the steps t = 1..T; F predicts eps."""

    whole_indices: ClassVar[bool] = True
    no_matter_to_baseline: ClassVar[Mapping[str, bool | set[str]]] = {}
    # One baseline model serves two TD objectives and two samplers.
    baseline_kind: ClassVar[str | None] = "ddpm"

    schedule: Schedule = "linear"
    grid: DiscreteGrid = DiscreteGrid()

    @model_validator(mode="after")
    def _betas_below_one(self) -> Self:
        if self.schedule == "linear" and self.grid.num_steps <= 20:
            raise ValueError(f"grid.num_steps: {self.grid.num_steps}: the linear schedule needs more than 20 steps")
        return self

    def preconditioning(self) -> NoisePrediction:
        # The network's time input is t - 1, as Ho et al. count from 0.
        return NoisePrediction(self.level, lambda t: (t - 1) * (1000 / self.grid.num_steps))

    def level(self, t: Tensor) -> Level:
        """At whole steps 0..T; times beyond them are clamped."""
        table = log_alpha_bar(self.schedule, self.grid.num_steps).to(t.device)
        found = table[t.round().long().clamp(0, self.grid.num_steps)]
        return Level((found / 2).exp(), (-torch.expm1(found)).sqrt())

    def sample_time(self, z: Tensor) -> Tensor:
        """t ~ U{1, ..., T}."""
        return (1 + (uniform(z) * self.grid.num_steps).floor()).clamp(max=self.grid.num_steps)


class DDPM(_Discrete):
    """The Markov forward process with the ancestral posterior."""

    kind: Literal["ddpm"] = "ddpm"

    td_presets: ClassVar[Mapping[str, TDPreset]] = {"paper": WHOLE_STEPS}


class DDIM(_Discrete):
    """The same process with the deterministic posterior and noise shared by both points."""

    kind: Literal["ddim"] = "ddim"

    td_presets: ClassVar[Mapping[str, TDPreset]] = {
        "paper": WHOLE_STEPS._replace(coupling="shared", posterior="deterministic")
    }
