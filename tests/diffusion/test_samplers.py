"""Heun's sampler with the perfect denoiser of Gaussian data, for which the ODE's solution is known."""

import numpy as np
import torch
from torch import Tensor

from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.samplers import CountingDenoiser, sample_heun

GRID = KarrasGrid()
S = 0.5


def perfect(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
    return S**2 / (S**2 + sigma**2) * x


def noise() -> Tensor:
    return torch.randn(64, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_second_order_of_convergence() -> None:
    """x(sigma) is proportional to sqrt(s^2 + sigma^2); halving the steps' size quarters the error."""
    x = noise()
    exact = x * 80.0 * S / (S**2 + 80.0**2) ** 0.5
    budgets = np.array([32, 64, 128, 256])
    errors = [float((sample_heun(perfect, x, None, GRID, int(n)) - exact).norm()) for n in budgets]
    slope = -np.polyfit(np.log(budgets), np.log(errors), 1)[0]
    assert 1.9 < slope < 2.2, f"order of convergence {slope:.2f}"


def test_nfe_is_twice_the_steps_less_one() -> None:
    for steps in (1, 2, 4, 9):
        counted = CountingDenoiser(perfect)
        sample_heun(counted, noise(), None, GRID, steps)
        assert counted.calls == 2 * steps - 1


def test_one_step_is_the_denoisers_estimate() -> None:
    x = noise()
    torch.testing.assert_close(sample_heun(perfect, x, None, GRID, 1), perfect(80.0 * x, torch.tensor(80.0), None))
