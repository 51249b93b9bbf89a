"""Forward processes x_t = alpha_t x0 + sigma_t eps, their two-time posterior means, and how two points
of one noising path are drawn together."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Posterior = Literal["ancestral", "deterministic"]
Coupling = Literal["markov", "shared"]


class Level(NamedTuple):
    """A point in time, by what the process does there: x = alpha x0 + sigma eps. Both (N, 1, 1, 1)."""

    alpha: Tensor
    sigma: Tensor

    def to(self, dtype: torch.dtype) -> "Level":
        """The level in another precision; coefficients are computed in float64 and meet images in theirs."""
        return Level(self.alpha.to(dtype), self.sigma.to(dtype))


def variance_exploding(sigma: Tensor) -> Level:
    """The level of a process that adds noise and never shrinks the image (VE, EDM, CT): alpha = 1."""
    return Level(torch.ones_like(sigma), sigma)


def posterior_coefficients(posterior: Posterior, t: Level, tau: Level) -> tuple[Tensor, Tensor]:
    """(A, kappa) of the two-time posterior mean mu_tau(x_t, x0) = A x0 + kappa x_t, for tau nearer the data.

    ``ancestral``: kappa = (alpha_t / alpha_tau) (sigma_tau / sigma_t)^2, the mean of q(x_tau | x_t, x0)
    of the Markov forward process (Ho et al. 2020, eq. 7).
    ``deterministic``: kappa = sigma_tau / sigma_t, the DDIM or probability-flow step (Song et al. 2021).
    Both: A = alpha_tau - kappa alpha_t.

    Returns
    -------
    A, kappa : Tensor
        Of the shape of the levels.
    """
    ratio = tau.sigma / t.sigma
    kappa = t.alpha / tau.alpha * ratio**2 if posterior == "ancestral" else ratio
    return tau.alpha - kappa * t.alpha, kappa


def couple(
    coupling: Coupling, x0: Tensor, t: Level, t_prime: Level, noise_prime: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw (x_t, x_t') together; t' is the less noisy of the two.

    ``markov``: x_t' = alpha' x0 + sigma' noise_prime, then
    x_t = (alpha_t / alpha') x_t' + sqrt(sigma_t^2 - (alpha_t / alpha')^2 sigma'^2) noise.
    ``shared``: both points use ``noise_prime``; ``noise`` is not used.

    Parameters
    ----------
    x0, noise_prime, noise : Tensor
        (N, C, H, W); the noises are independent standard normal.
    t, t_prime : Level
        Levels with (alpha_t / alpha') sigma' <= sigma_t.
    """
    shrink = t.alpha / t_prime.alpha
    added = (t.sigma**2 - (shrink * t_prime.sigma) ** 2).clamp_min(0).sqrt()
    t, t_prime, shrink, added = t.to(x0.dtype), t_prime.to(x0.dtype), shrink.to(x0.dtype), added.to(x0.dtype)
    x_prime = t_prime.alpha * x0 + t_prime.sigma * noise_prime
    if coupling == "shared":
        return t.alpha * x0 + t.sigma * noise_prime, x_prime
    return shrink * x_prime + added * noise, x_prime


def rotate_noise(t: Level, t_prime: Level, noise_t: Tensor, noise_other: Tensor) -> tuple[Tensor, Tensor]:
    """The (noise_prime, noise) for which ``markov`` coupling gives x_t = alpha_t x0 + sigma_t noise_t.

    An orthogonal rotation of two independent standard normal tensors, hence two such again. It lets a
    run with a temporal difference see the very x_t that its baseline twin sees, so that the two differ
    in nothing but the objective.
    """
    cosine = (t.alpha / t_prime.alpha * t_prime.sigma / t.sigma).clamp(max=1)
    sine = (1 - cosine**2).sqrt()
    cosine, sine = cosine.to(noise_t.dtype), sine.to(noise_t.dtype)
    return cosine * noise_t + sine * noise_other, sine * noise_t - cosine * noise_other
