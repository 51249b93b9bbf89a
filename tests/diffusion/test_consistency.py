"""The residual of a denoiser with itself, on denoisers whose consistency is known."""

import pytest
import torch
from torch import Tensor

from tdbench.diffusion.consistency import WatchedDenoiser, residuals
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition
from tdbench.diffusion.processes import posterior_coefficients
from tdbench.diffusion.samplers import SAMPLERS
from tdbench.seeds import generator

FORMULATION = EDM()


def images(count: int = 2000) -> Tensor:
    return torch.randn((count, 1, 2, 2), generator=generator(0, "images"), dtype=torch.float64) * 0.5


def test_the_truth_is_consistent() -> None:
    """Who knows the image leaves no residual, at any time, in any formulation."""
    x0 = images(8)
    for name, kind in FORMULATIONS.items():
        found = residuals(lambda x, t, c: x0, kind(), x0, UNCONDITIONAL, 5, generator(0, "noise"))
        assert len(found) == 5 and all(point.squared == point.weighted == 0 for point in found), name


@pytest.mark.parametrize("index", [0, 3])
def test_residual_of_a_denoiser_that_says_zero(index: int) -> None:
    """delta = (A - A') x0 then: known up to the mean of x0^2 over the images."""
    x0 = images()
    found = residuals(lambda x, t, c: torch.zeros_like(x), FORMULATION, x0, UNCONDITIONAL, 5, generator(0, "noise"))
    t = FORMULATION.grid.time(torch.tensor([[[[found[index].index]]]], dtype=torch.float64))
    times = FORMULATION.pair_times(t, 1, 0.25)
    levels = [FORMULATION.level(time) for time in (t, times.tau, times.t_prime, times.tau_prime)]
    a, a_prime = (
        posterior_coefficients("ancestral", *levels[:2])[0],
        posterior_coefficients("ancestral", *levels[2:])[0],
    )
    assert found[index].squared == pytest.approx(float((a - a_prime) ** 2 * (x0**2).mean()), rel=1e-9)


def gaussian_posterior_mean(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    """E[x0 | x_t] of the images above."""
    return 0.25 / (0.25 + t**2) * x


def test_the_posterior_mean_is_more_consistent_than_one_that_is_off() -> None:
    x0 = images()
    exact = residuals(gaussian_posterior_mean, FORMULATION, x0, UNCONDITIONAL, 8, generator(0, "noise"))
    # Right on average over times, wrong from one to the next.
    off = residuals(
        lambda x, t, c: gaussian_posterior_mean(x, t, c) + 0.3 * torch.sin(8 * t.log()),
        FORMULATION,
        x0,
        UNCONDITIONAL,
        8,
        generator(0, "noise"),
    )
    assert sum(p.weighted for p in exact) < 0.9 * sum(p.weighted for p in off)


def test_who_is_measured_does_not_change_the_noise() -> None:
    seen: list[Tensor] = []

    def watching(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    for _ in range(2):
        residuals(watching, FORMULATION, images(4), UNCONDITIONAL, 3, generator(0, "noise"))
    assert len(seen) == 12 and all(torch.equal(a, b) for a, b in zip(seen[:6], seen[6:], strict=True))


def test_moves_along_a_path() -> None:
    """An estimate that grows by 2 with each evaluation moves by 4, squared."""
    watched = WatchedDenoiser(lambda x, t, c: torch.full_like(x, 2.0 * watched.calls))
    SAMPLERS["heun"]().sample(
        watched, torch.zeros(3, 1, 2, 2), UNCONDITIONAL, FORMULATION, 4, lambda: torch.zeros(3, 1, 2, 2)
    )
    assert watched.calls == 7 and watched.moves().tolist() == [4.0] * 6
    assert WatchedDenoiser(lambda x, t, c: x).moves().tolist() == []
