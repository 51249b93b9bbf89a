"""Samplers with the perfect denoiser of Gaussian data, for which the ODE's solution is known."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tdbench.diffusion.formulations import FORMULATIONS, Formulation
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition, CountingDenoiser, Denoiser, DenoiserCall
from tdbench.diffusion.samplers import SAMPLERS, Sampler, count_evaluations
from tdbench.sampling.stage import fresh_noise
from tests.fake_cuda import CUDA, gpu

__all__ = ["gpu"]

S = 0.5  # standard deviation of the data
EVALUATIONS = {
    "heun": lambda n: 2 * n - 1,
    "churn": lambda n: 2 * n - 1,
    "euler": lambda n: n,
    "ddim": lambda n: n,
    "ancestral": lambda n: n,
    "consistency": lambda n: n,
    "dpm-solver++": lambda n: n,
    "unipc": lambda n: n,
}


def perfect(formulation: Formulation) -> DenoiserCall:
    """E[x0 | x_t] for data N(0, S^2)."""

    def denoise(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        alpha, sigma = formulation.level(t)
        return alpha * S**2 / (alpha**2 * S**2 + sigma**2) * x

    return denoise


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def run(
    sampler: Sampler, formulation: Formulation, x: Tensor, steps: int, denoiser: DenoiserCall | None = None
) -> Tensor:
    source = torch.Generator().manual_seed(9)
    return sampler.sample(
        denoiser or perfect(formulation),
        x,
        UNCONDITIONAL,
        formulation,
        steps,
        lambda: torch.randn(x.shape, dtype=x.dtype, generator=source),
    )


@pytest.mark.parametrize("kind", ["ddpm", "vp", "edm"])
@pytest.mark.parametrize(("name", "order"), [("heun", 2), ("euler", 1), ("ddim", 1), ("dpm-solver++", 2)])
def test_order_of_convergence(kind: str, name: str, order: int, capsys: pytest.CaptureFixture[str]) -> None:
    """x / alpha is proportional to sqrt(S^2 + (sigma / alpha)^2) along the ODE."""
    formulation, x = FORMULATIONS[kind](), normal(64, 1, 4, 4)
    alpha, sigma = formulation.level(formulation.grid.times(1))
    exact = x * (sigma / alpha) * S / (S**2 + (sigma / alpha) ** 2).sqrt()
    budgets = np.array([32, 48, 64, 96])
    errors = [float((run(SAMPLERS[name](), formulation, x, int(n)) - exact).norm()) for n in budgets]
    slope = -np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    with capsys.disabled():
        print(f"\n  {kind}, {name}: order of convergence {slope:.2f}")
    assert abs(slope - order) < (0.1 if order == 1 else 0.35)


@pytest.mark.parametrize(
    ("name", "kind", "steps"),
    [(n, k, 100) for n in ("heun", "euler", "ancestral", "unipc") for k in FORMULATIONS if k != "ct"]
    + [("churn", k, 100) for k in ("vp", "ve", "edm")],
)
def test_the_data_distribution_is_reached(name: str, kind: str, steps: int) -> None:
    formulation = FORMULATIONS[kind]()
    x = run(SAMPLERS[name](), formulation, normal(20_000, 1, 1, 1), steps)
    assert x.mean().item() == pytest.approx(0, abs=0.015)
    assert x.std().item() == pytest.approx(S, rel=0.09 if name == "ancestral" else 0.05)


def test_consistency_sampling_reaches_the_data_at_any_budget() -> None:
    """The perfect consistency function of Gaussian data takes x(sigma) to x(sigma_min) along the ODE."""
    formulation = FORMULATIONS["ct"]()

    def function(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        return x * (S**2 + formulation.grid.sigma_min**2) ** 0.5 / (S**2 + t**2).sqrt()

    for steps in (1, 2, 4):
        x = run(SAMPLERS["consistency"](), formulation, normal(20_000, 1, 1, 1), steps, function)
        assert x.std().item() == pytest.approx(S, rel=0.02)


@pytest.mark.parametrize("name", SAMPLERS)
def test_nfe_is_counted_from_calls(name: str) -> None:
    sampler, formulation = SAMPLERS[name](), FORMULATIONS["edm"]()
    for steps in (1, 2, 5, 9):
        counted = CountingDenoiser(perfect(formulation))
        run(sampler, formulation, normal(2, 1, 4, 4), steps, counted)
        assert counted.calls == EVALUATIONS[name](steps) == count_evaluations(sampler, formulation, steps)


def test_ddim_without_noise_is_eulers_method_and_with_all_of_it_ancestral() -> None:
    formulation, x = FORMULATIONS["vp"](), normal(4, 1, 4, 4)
    euler, ddim = (run(SAMPLERS[name](), formulation, x, 7) for name in ("euler", "ddim"))
    torch.testing.assert_close(euler, ddim)
    noisy, ancestral = run(SAMPLERS["ddim"](eta=1), formulation, x, 7), run(SAMPLERS["ancestral"](), formulation, x, 7)
    assert torch.equal(noisy, ancestral) and not torch.allclose(noisy, ddim)


def test_one_step_is_the_denoisers_estimate() -> None:
    formulation, x = FORMULATIONS["edm"](), normal(4, 1, 4, 4)
    for name in ("heun", "euler", "ancestral", "consistency"):
        torch.testing.assert_close(
            run(SAMPLERS[name](), formulation, x, 1), perfect(formulation)(80.0 * x, torch.tensor(80.0), UNCONDITIONAL)
        )


def test_clipping_bounds_the_estimate() -> None:
    formulation = FORMULATIONS["edm"]()
    wild: DenoiserCall = lambda x, t, condition: torch.full_like(x, 7.0)  # noqa: E731
    assert run(SAMPLERS["euler"](clip=True), formulation, normal(2, 1, 2, 2), 3, wild).max().item() == 1
    assert run(SAMPLERS["euler"](), formulation, normal(2, 1, 2, 2), 3, wild).max().item() == 7


class Timed(torch.nn.Module):
    """A layer that is told the time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor, c_noise: Tensor, *_: Any) -> Tensor:
        return self.layer(x) + c_noise[:, None, None, None]


@pytest.mark.parametrize("kind", SAMPLERS)
def test_no_step_waits_for_a_gpu(kind: str, gpu: Any) -> None:
    """But for what diffusers does; and nothing meets what is on another device."""
    formulation, sampler = FORMULATIONS["edm"](), SAMPLERS[kind]()
    denoiser = Denoiser(Timed().to(CUDA), formulation.preconditioning())
    fresh, noise = fresh_noise(0, [0, 1], (1, 4, 4), CUDA), torch.randn(2, 1, 4, 4, device=CUDA)
    librarys = kind in ("dpm-solver++", "unipc")
    with nullcontext() if librarys else gpu.watched():
        result = sampler.sample(denoiser, noise, UNCONDITIONAL, formulation, 4, fresh)
    assert result.device.type == "cuda" and result.dtype == torch.float64
