"""A sampler of one's own: the midpoint method, order 2, two network evaluations a step."""

from typing import ClassVar, Literal

from torch import Tensor

from tdbench.diffusion.samplers import FreshNoise, Path, Sampler
from tdbench.plugins import register


@register("sampler")
class Midpoint(Sampler):
    """Each step takes the slope half-way, between two points of the grid."""

    kind: Literal["midpoint"] = "midpoint"
    between_steps: ClassVar[bool] = True  # hence not for discrete processes

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        x = path.start  # images over alpha
        for i in range(len(path.times)):
            now, ahead = path.ratios[i], path.ratios[i + 1]  # sigma over alpha
            slope = (x - path.estimate(x, i)) / now
            if ahead == 0:
                return x + (ahead - now) * slope
            middle = (now * ahead).sqrt()
            half = x + (middle - now) * slope
            x = x + (ahead - now) * (half - path.estimate_at(half, middle)) / middle
        return x
