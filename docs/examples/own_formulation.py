"""Template for a formulation: alpha = cos and sigma = sin of an angle, so that alpha^2 + sigma^2 = 1.

To use it, copy this file beside your experiment file and add there: `plugins: [own_formulation.py]` and
`formulations: {flow: {}}`. A field such as `steepness: float = 1.0` becomes a setting of the experiment file.
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation, TDPreset, uniform
from tdbench.diffusion.grid import LinearGrid
from tdbench.diffusion.preconditioning import NoisePrediction
from tdbench.diffusion.processes import Level
from tdbench.plugins import register

_STEEPEST = 0.99 * math.pi / 2  # at a right angle nothing of the image is left


@register("formulation")
class Flow(Formulation):
    """x_t = cos(a t) x0 + sin(a t) eps for t in (0, 1]; the network predicts eps. t = 1 is the noisiest time."""

    kind: Literal["flow"] = "flow"
    grid: LinearGrid = LinearGrid()
    # The TD settings for an experiment file that sets none. In continuous time the stride is below the span.
    td_presets: ClassVar[dict[str, TDPreset]] = {
        "paper": TDPreset("pairwise", lambda_=0.5, span=1.0, stride=0.25, coupling="markov", posterior="ancestral")
    }

    def level(self, t: Tensor) -> Level:
        """Times, (N, 1, 1, 1) float64 or any other shape -> alpha and sigma, each of the same shape. Change this."""
        return Level(torch.cos(_STEEPEST * t), torch.sin(_STEEPEST * t))

    def preconditioning(self) -> NoisePrediction:
        """What the network predicts. The second argument gives c_noise, about 0..1000, of (N, 1, 1, 1) times."""
        return NoisePrediction(self.level, lambda t: 999 * t)

    def sample_time(self, z: Tensor) -> Tensor:
        """(N, 1, 1, 1) standard normal draws -> the (N, 1, 1, 1) training times, float64; here uniform."""
        return self.grid.time_min + uniform(z) * (1 - self.grid.time_min)

    def time_of(self, ratio: Tensor) -> Tensor:
        """sigma / alpha, any shape -> the time: the inverse of `level`. Only samplers that leave the grid need it."""
        return torch.atan(ratio) / _STEEPEST
