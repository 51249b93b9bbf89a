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

    def like(self, images: Tensor) -> "Level":
        """The level in the precision and on the device of ``images``."""
        return Level(like(self.alpha, images), like(self.sigma, images))


def like(coefficient: Tensor, images: Tensor) -> Tensor:
    """A coefficient, computed in float64, as it meets ``images``: in their precision, on their device.

    The copy to a device is not waited for.
    """
    return coefficient.to(images.device, images.dtype, non_blocking=True)


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
    t, t_prime, shrink, added = t.like(x0), t_prime.like(x0), like(shrink, x0), like(added, x0)
    x_prime = t_prime.alpha * x0 + t_prime.sigma * noise_prime
    if coupling == "shared":
        return t.alpha * x0 + t.sigma * noise_prime, x_prime
    return shrink * x_prime + added * noise, x_prime


def couple_behind(
    coupling: Coupling, x0: Tensor, t: Level, t_prime: Level, noise_t: Tensor, noise_other: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw (x_t, x_t') as `couple` does, from the noise of x_t = alpha_t x0 + sigma_t noise_t itself.

    For ``markov``, the noise of x_t' is cos noise_t + sin noise_other with cos = (alpha_t / alpha') sigma' / sigma_t:
    one half of the orthogonal rotation that turns (noise_t, noise_other) into the two noises of `couple`, so it has the
    same distribution. It lets a run with a temporal difference see the very x_t that its baseline twin sees, so that
    the two differ in nothing but the objective.

    Parameters
    ----------
    noise_t, noise_other : Tensor
        (N, C, H, W) independent standard normal; ``noise_other`` is not used for ``shared``.
    """
    point, noise_prime = t.like(x0), noise_t
    if coupling == "markov":
        cosine = (t.alpha / t_prime.alpha * t_prime.sigma / t.sigma).clamp(max=1)
        sine = (1 - cosine**2).sqrt()
        noise_prime = like(cosine, x0) * noise_t + like(sine, x0) * noise_other
    prime = t_prime.like(x0)
    return point.alpha * x0 + point.sigma * noise_t, prime.alpha * x0 + prime.sigma * noise_prime
