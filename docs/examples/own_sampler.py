"""Template for a sampler: the midpoint method, order 2, two network evaluations a step.

To use it, copy this file beside your experiment file and add there: `plugins: [own_sampler.py]` and
`sampling: {sampler: {kind: midpoint}}`. A field such as `damping: float = 1.0` becomes a setting.
"""

from typing import ClassVar, Literal

from torch import Tensor

from tdbench.diffusion.samplers import FreshNoise, Path, Sampler
from tdbench.plugins import register


@register("sampler")
class Midpoint(Sampler):
    """Each step takes the slope half-way, between two points of the grid."""

    kind: Literal["midpoint"] = "midpoint"
    between_steps: ClassVar[bool] = True  # it leaves the grid, so it does not work for discrete processes

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        """Return the (N, C, H, W) float64 images at the end of the path. Change this function.

        path.start: (N, C, H, W) float64 noise; all images are divided by alpha
        path.times: (num_steps,), falling; path.ratios: (num_steps + 1,) sigma / alpha at the times, then 0
        path.estimate(x, i): the network's estimate of x0 at times[i], (N, C, H, W)
        path.estimate_at(x, ratio): the same at any sigma / alpha
        fresh(): new (N, C, H, W) standard normal noise, for samplers that add some
        """
        x = path.start
        for i in range(len(path.times)):
            now, ahead = path.ratios[i], path.ratios[i + 1]
            slope = (x - path.estimate(x, i)) / now
            if ahead == 0:
                return x + (ahead - now) * slope
            middle = (now * ahead).sqrt()
            half = x + (middle - now) * slope
            x = x + (ahead - now) * (half - path.estimate_at(half, middle)) / middle
        return x
