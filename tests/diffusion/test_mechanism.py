"""The mechanism on a normal distribution, where the posterior mean and all variances are known."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.formulations.ddpm import DDPM
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.formulations.vp import VP
from tdbench.diffusion.measured_pairs import spread_times
from tdbench.diffusion.mechanism import (
    Networks,
    gradient_noise,
    indices_of,
    measure,
    td_at_the_end,
)
from tdbench.diffusion.objectives.td import TD, TDSettings
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition
from tdbench.diffusion.processes import posterior_coefficients

STD, IMAGES, SHAPE = 0.5, 8_000, (1, 4, 4)
LAG = 0.1
"""The target estimates this share too little."""


class PosteriorMean:
    """E[x0 | x_t] for pixels that are normal with standard deviation `STD`."""

    def __init__(self, formulation: Formulation) -> None:
        self.formulation = formulation

    def __call__(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        level = self.formulation.level(t).like(x)
        return level.alpha * STD**2 / ((level.alpha * STD) ** 2 + level.sigma**2) * x


def resolved(formulation: Formulation, **settings: Any) -> TD:
    found = td_at_the_end(TDSettings.model_validate(settings).resolved(formulation), 0.999)
    assert found is not None
    return found


def expected(formulation: Formulation, td: TD, index: float) -> dict[str, float]:
    """The closed forms, written out."""
    t = torch.tensor(index, dtype=torch.float64).view(1, 1, 1, 1)
    shifts = (0, td.span, td.stride, td.span + td.stride)
    times = [formulation.grid.time(t + shift) for shift in shifts]
    at, prime, tau, tau_prime = (formulation.level(time) for time in times)
    c, c_prime = (float(formulation.preconditioning().c_out(time)) for time in times[:2])
    a = float(posterior_coefficients("ancestral", at, tau)[0])
    a_prime = float(posterior_coefficients("ancestral", prime, tau_prime)[0])
    variance, variance_prime = (
        float(STD**2 * level.sigma**2 / ((level.alpha * STD) ** 2 + level.sigma**2)) for level in (at, prime)
    )
    weight = 1 / ((a * c) ** 2 + (a_prime * c_prime) ** 2)
    assert isinstance(td.lambda_, float)
    scale = weight * a**2 + td.lambda_ / c**2
    beta = weight * a * a_prime / scale
    estimate = float((prime.alpha * STD**2) ** 2 / ((prime.alpha * STD) ** 2 + prime.sigma**2))
    return {
        "noise_level": float(at.sigma / at.alpha),
        "variance": variance / c**2,
        # e = e' + m, and m is uncorrelated with e'.
        "correlation": math.sqrt(variance_prime / variance),
        "beta": beta,
        "best_beta": 1.0,
        "remaining": 1 + (beta**2 - 2 * beta) * variance_prime / variance,
        "size": scale * c**2,
        "lag": LAG**2 * estimate / variance,
    }


@pytest.mark.parametrize(
    ("formulation", "settings"),
    [(EDM(), {}), (EDM(), {"lambda": 0.01, "span": 2}), (VP(), {}), (DDPM(), {}), (DDPM(), {"span": 20, "lambda": 0})],
)
def test_it_is_that_of_the_closed_forms(formulation: Formulation, settings: dict[str, Any]) -> None:
    """DDPM's neighbouring steps have nearly the same error: there a difference of variances would be lost in noise."""
    td, perfect = resolved(formulation, **settings), PosteriorMean(formulation)
    source = torch.Generator().manual_seed(0)
    x0 = STD * torch.randn((IMAGES, *SHAPE), generator=source, dtype=torch.float64)
    networks = Networks(perfect, perfect, lambda x, t, c: (1 - LAG) * perfect(x, t, c))
    indices = spread_times(formulation, td, 5)
    found = list(measure(networks, formulation, td, x0, UNCONDITIONAL, indices, source))
    assert len(found) == 5
    for point in found:
        for name, value in expected(formulation, td, point.index).items():
            # 128,000 pixels: a variance is known to 0.4 %.
            assert getattr(point, name) == pytest.approx(value, rel=0.02, abs=0.006), (name, point)
    assert sum(point.share for point in found) == pytest.approx(1, abs=1e-6)


def test_times_have_the_share_of_the_training_times_nearest_to_them() -> None:
    """EDM draws ln sigma from a normal distribution."""
    td, edm = resolved(EDM()), EDM()
    indices = indices_of(edm, td, [10.0, math.exp(-1.2), 0.0105])
    found = list(
        measure(
            Networks(PosteriorMean(edm)),
            edm,
            td,
            torch.randn(8, *SHAPE, dtype=torch.float64),
            UNCONDITIONAL,
            indices,
            torch.Generator().manual_seed(0),
        )
    )
    assert [point.noise_level for point in found] == [
        pytest.approx(v, rel=1e-3) for v in (10.0, math.exp(-1.2), 0.0105)
    ]
    middles = [torch.tensor((a + b) / 2) for a, b in itertools.pairwise(indices)]
    between = [float(edm.grid.time(middle)) for middle in middles]
    high, low = (0.5 * math.erfc((math.log(sigma) + 1.2) / 1.2 / math.sqrt(2)) for sigma in between)
    assert [point.share for point in found] == [pytest.approx(v, abs=2e-4) for v in (high, low - high, 1 - low)]
    # The noisiest draws lie beyond the grid's beginning, and the last ones have no pair.
    assert found[1].valid == 1 and found[2].valid < 1


def test_a_noise_level_without_a_pair_is_named() -> None:
    with pytest.raises(ValueError, match=r"noise level 1000: pairs of edm have 0\.0101 to 80"):
        indices_of(EDM(), resolved(EDM()), [1000.0])


def test_pairs_that_share_their_noise_have_none() -> None:
    assert td_at_the_end(TDSettings.model_validate({"coupling": "shared"}).resolved(EDM()), 0.5) is None


def test_one_that_begins_late_is_taken_as_if_it_had_begun() -> None:
    found = td_at_the_end(TDSettings.model_validate({"begin": 1, "lambda": [[0, 2], [1, 0.5]]}).resolved(EDM()), 0.5)
    assert found is not None and (found.begin, found.lambda_) == (0, 1.25)


class Linear(nn.Module):
    """D = theta x: one weight, whose gradient is known."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=torch.float64))
        self.unused = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.theta * x


@pytest.mark.slow
def test_the_noise_of_the_gradient_is_that_of_the_closed_form() -> None:
    """At the best weight e and e' are independent of x_t, so tr Var is that of a product of normal variables."""
    edm, td, size, batches = EDM(), resolved(EDM(), span=2), 8, 800
    (index,) = indices_of(edm, td, [0.6])
    sigma, pixels = 0.6, math.prod(SHAPE)
    best = STD**2 / (STD**2 + sigma**2)
    source = torch.Generator().manual_seed(1)
    parts = [
        (STD * torch.randn((size, *SHAPE), generator=source, dtype=torch.float64), UNCONDITIONAL)
        for _ in range(batches)
    ]
    c2 = float(edm.preconditioning().c_out(torch.tensor(sigma, dtype=torch.float64))) ** 2
    base, _ = gradient_noise(Linear(best), edm, td, parts, index, source)
    variance = STD**2 * sigma**2 / (STD**2 + sigma**2)
    assert base.variance == pytest.approx(4 / c2**2 * variance * (STD**2 + sigma**2) / pixels / size, rel=0.2)
    # Lost in the noise, without bias.
    assert abs(base.squared_mean) < 5 * base.variance / batches
    base, _ = gradient_noise(Linear(0.8 * best), edm, td, parts, index, source)
    mean = -2 / c2 * (STD**2 - 0.8 * best * (STD**2 + sigma**2))
    assert base.squared_mean == pytest.approx(mean**2, rel=0.15)


class Posterior(nn.Module):
    """theta times the posterior mean; at theta = 1 its errors are independent of the estimate."""

    def __init__(self, formulation: Formulation) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.mean = PosteriorMean(formulation)

    def forward(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return self.theta * self.mean(x, t, condition)


@pytest.mark.slow
def test_what_remains_of_the_gradients_variance_is_what_remains_of_the_errors() -> None:
    edm, td = EDM(), resolved(EDM(), span=2)
    (index,) = indices_of(edm, td, [0.6])
    source = torch.Generator().manual_seed(2)
    parts = [(STD * torch.randn((8, *SHAPE), generator=source, dtype=torch.float64), UNCONDITIONAL) for _ in range(800)]
    base, ours = gradient_noise(Posterior(edm), edm, td, parts, index, source)
    wanted = expected(edm, td, index)
    assert ours.variance / base.variance == pytest.approx(wanted["remaining"] * wanted["size"] ** 2, rel=0.15)
