"""Samplers: from noise to images along the grid of noise levels, with a given budget of steps."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from tdbench.diffusion.grid import KarrasGrid

DenoiserCall = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@torch.no_grad()
def sample_heun(
    denoiser: DenoiserCall, noise: Tensor, labels: Tensor | None, grid: KarrasGrid, num_steps: int
) -> Tensor:
    """EDM's deterministic second-order sampler of the probability-flow ODE (Karras et al. 2022, alg. 1).

    It costs 2 num_steps - 1 network evaluations: the last step, to sigma = 0, has no correction.

    Parameters
    ----------
    denoiser : callable
        (x, sigma, labels) -> estimate of x0.
    noise : Tensor
        (N, C, H, W), standard normal.
    labels : Tensor or None
        (N, num_classes) one-hot classes.
    grid : KarrasGrid
        Gives sigma_max, sigma_min and rho; the number of its points does not matter here.
    num_steps : int
        Step budget, at least 1.

    Returns
    -------
    Tensor
        (N, C, H, W) images, nominally in [-1, 1], in float64: the path's arithmetic is in double precision,
        the network's in its own.
    """
    sigmas = grid.levels(num_steps).to(noise.device)

    def slope(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.to(noise.dtype).view(1, 1, 1, 1)
        return (x - denoiser(x.to(noise.dtype), level, labels).to(torch.float64)) / sigma

    x = noise.to(torch.float64) * sigmas[0]
    for now, ahead in itertools.pairwise(sigmas):
        here = slope(x, now)
        euler = x + (ahead - now) * here
        # At sigma = 0 the slope is not defined, and the Euler step is exactly the denoiser's estimate.
        x = euler if ahead == 0 else x + (ahead - now) * 0.5 * (here + slope(euler, ahead))
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {"heun": sample_heun}


class CountingDenoiser:
    """A denoiser that counts its own calls, so that NFE is counted and never computed from a formula."""

    def __init__(self, denoiser: DenoiserCall) -> None:
        self.denoiser, self.calls = denoiser, 0

    def __call__(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        self.calls += 1
        return self.denoiser(x, sigma, labels)
