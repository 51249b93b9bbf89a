"""Couplings have the right marginals, and the two-time posterior is the textbook one."""

import pytest
import torch

from tdbench.diffusion.processes import (
    Level,
    couple,
    couple_behind,
    posterior_coefficients,
    variance_exploding,
)

N = 200_000


def level(alpha: float, sigma: float) -> Level:
    return Level(*(torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (alpha, sigma)))


def normal(seed: int) -> torch.Tensor:
    return torch.randn(N, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# A variance-exploding pair and a variance-preserving one.
PAIRS = [(level(1, 3.0), level(1, 1.2)), (level(0.3, 0.91**0.5), level(0.8, 0.6))]


@pytest.mark.parametrize(("t", "t_prime"), PAIRS)
@pytest.mark.parametrize("coupling", ["markov", "shared"])
def test_marginals(coupling: str, t: Level, t_prime: Level) -> None:
    x0 = torch.full((N, 1, 1, 1), 0.7, dtype=torch.float64)
    x_t, x_prime = couple(coupling, x0, t, t_prime, normal(0), normal(1))
    for x, at in ((x_t, t), (x_prime, t_prime)):
        assert x.mean().item() == pytest.approx(0.7 * at.alpha.item(), abs=5 * at.sigma.item() / N**0.5)
        assert x.std().item() == pytest.approx(at.sigma.item(), rel=0.01)


@pytest.mark.parametrize(("t", "t_prime"), PAIRS)
def test_covariance_of_the_couplings(t: Level, t_prime: Level) -> None:
    zero = torch.zeros(N, 1, 1, 1, dtype=torch.float64)
    expected = {
        "markov": (t.alpha / t_prime.alpha * t_prime.sigma**2).item(),
        "shared": (t.sigma * t_prime.sigma).item(),
    }
    for coupling, covariance in expected.items():
        x_t, x_prime = couple(coupling, zero, t, t_prime, normal(0), normal(1))
        assert (x_t * x_prime).mean().item() == pytest.approx(covariance, rel=0.02)


@pytest.mark.parametrize(("t", "t_prime"), PAIRS)
def test_coupled_from_behind_has_the_baselines_point_and_the_same_distribution(t: Level, t_prime: Level) -> None:
    """x_t is the baseline's to the bit; x_t' goes back to the two noises from which `couple` gives the same pair."""
    x0, noise_t, other = normal(2), normal(3), normal(4)
    x_t, x_prime = couple_behind("markov", x0, t, t_prime, noise_t, other)
    assert torch.equal(x_t, t.alpha * x0 + t.sigma * noise_t)
    noise_prime = (x_prime - t_prime.alpha * x0) / t_prime.sigma
    shrink = t.alpha / t_prime.alpha
    added = (x_t - shrink * x_prime) / (t.sigma**2 - (shrink * t_prime.sigma) ** 2).sqrt()
    covariance = torch.cov(torch.stack([noise_prime, added]).flatten(1))
    torch.testing.assert_close(covariance, torch.eye(2, dtype=torch.float64), rtol=0, atol=0.02)
    again = couple("markov", x0, t, t_prime, noise_prime, added)
    torch.testing.assert_close(again, (x_t, x_prime), rtol=1e-9, atol=1e-9)
    shared = couple_behind("shared", x0, t, t_prime, noise_t, other)
    torch.testing.assert_close(shared, couple("shared", x0, t, t_prime, noise_t, other))


def test_ancestral_posterior_is_the_textbook_one() -> None:
    """Against q(x_tau | x_t, x0) by conditioning the joint Gaussian of the two."""
    t, tau = PAIRS[1]
    a, kappa = posterior_coefficients("ancestral", t, tau)
    covariance = t.alpha / tau.alpha * tau.sigma**2
    gain = covariance / t.sigma**2
    torch.testing.assert_close(kappa, gain)
    torch.testing.assert_close(a, tau.alpha - gain * t.alpha)


def test_variance_exploding_coefficients() -> None:
    t, tau = (variance_exploding(torch.tensor(s).view(1, 1, 1, 1)) for s in (2.0, 0.5))
    assert posterior_coefficients("ancestral", t, tau)[0].item() == pytest.approx(1 - (0.5 / 2) ** 2)
    assert posterior_coefficients("deterministic", t, tau)[0].item() == pytest.approx(1 - 0.5 / 2)


def test_deterministic_posterior_lands_on_the_path() -> None:
    """With x0 known the probability-flow ODE is a straight line in (alpha, sigma)."""
    t, tau = PAIRS[0]
    x0, noise = normal(5), normal(6)
    a, kappa = posterior_coefficients("deterministic", t, tau)
    landed = a * x0 + kappa * (t.alpha * x0 + t.sigma * noise)
    torch.testing.assert_close(landed, tau.alpha * x0 + tau.sigma * noise)
