"""A formulation of one's own: alpha = cos, sigma = sin of an angle, whose sum of squares is 1."""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation, TDPreset, uniform
from tdbench.diffusion.grid import LinearGrid
from tdbench.diffusion.preconditioning import NoisePrediction
from tdbench.diffusion.processes import Level
from tdbench.plugins import register

_STEEPEST = 0.99 * math.pi / 2  # at a right angle nothing of the image would be left


@register("formulation")
class Flow(Formulation):
    """x_t = cos(a t) x0 + sin(a t) eps for t in (0, 1]; the network predicts eps."""

    kind: Literal["flow"] = "flow"
    grid: LinearGrid = LinearGrid()
    # What the TD objective takes where the experiment says nothing. In continuous time the stride is below the span.
    td_presets: ClassVar[dict[str, TDPreset]] = {
        "paper": TDPreset("pairwise", lambda_=0.5, span=1.0, stride=0.25, coupling="markov", posterior="ancestral")
    }

    def level(self, t: Tensor) -> Level:
        return Level(torch.cos(_STEEPEST * t), torch.sin(_STEEPEST * t))

    def preconditioning(self) -> NoisePrediction:
        return NoisePrediction(self.level, lambda t: 999 * t)

    def sample_time(self, z: Tensor) -> Tensor:
        return self.grid.time_min + uniform(z) * (1 - self.grid.time_min)

    def time_of(self, ratio: Tensor) -> Tensor:
        return torch.atan(ratio) / _STEEPEST
