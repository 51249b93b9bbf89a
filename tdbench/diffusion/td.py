"""The temporal-difference objective (arXiv 2606.15048), one implementation for every formulation.

Denoising is a Markov reward process from t = T down to 0 whose value at x_t is mu_tau(x_t, x0) - x0.
Comparing the true drift of the posterior mean between two points of the path with the model's gives the
residual

    delta = A (x0 - D(x_t)) - A' (x0 - D'(x_t')),

where D' is the target network. The kappa x terms of the long form cancel exactly; computing without
them keeps the digits that the long form loses at large sigma.
"""

from collections.abc import Callable
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tdbench.diffusion.objectives.base import Formulation, Losses, Noise, per_image_mean
from tdbench.diffusion.processes import Coupling, Posterior, couple, posterior_coefficients, rotate_noise
from tdbench.parameters import Parameters

DenoiserCall = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Weight = Literal["pairwise", "source", "constant"]


class TargetEMA(Parameters):
    """Target network: an exponential moving average of the trained one, updated every step."""

    kind: Literal["ema"] = "ema"
    decay: Annotated[float, Field(ge=0, lt=1, description="share of the old target kept a step")] = 0.999


class TDSettings(Parameters):
    """What the temporal-difference objective leaves free; the defaults are the paper's for EDM."""

    weight: Annotated[Weight, Field(description="w(t, t'), the weight of a pair")] = "pairwise"
    lambda_: Annotated[float, Field(ge=0, alias="lambda", description="weight of the base loss")] = 0.5
    span: Annotated[float, Field(gt=0, description="k, grid indices from t to t'")] = 1.0
    stride: Annotated[float, Field(gt=0, description="Delta, grid indices from t to tau")] = 0.25
    coupling: Annotated[Coupling, Field(description="how x_t and x_t' are drawn together")] = "markov"
    posterior: Annotated[
        Posterior | None, Field(description="A and kappa; the coupling's own where it is left out")
    ] = None
    target: TargetEMA = TargetEMA()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.stride >= self.span:
            raise ValueError(f"stride {self.stride:g} (Delta) must be below span {self.span:g} (k)")
        return self

    @property
    def resolved_posterior(self) -> Posterior:
        """The posterior in force: ancestral goes with markov, deterministic with shared."""
        return self.posterior or ("ancestral" if self.coupling == "markov" else "deterministic")


def residual(a: Tensor, error: Tensor, a_prime: Tensor, error_prime: Tensor) -> Tensor:
    """delta in its cancelled form, (N, C, H, W).

    Parameters
    ----------
    a, a_prime : Tensor
        A_{t,tau} and A_{t',tau'}, (N, 1, 1, 1).
    error, error_prime : Tensor
        x0 - D(x_t) and x0 - D'(x_t'), (N, C, H, W).
    """
    return a * error - a_prime * error_prime


def pair_weight(name: Weight, a: Tensor, c_out: Tensor, a_prime: Tensor, c_out_prime: Tensor) -> Tensor:
    """w(t, t'), (N, 1, 1, 1).

    ``pairwise``: 1 / (A^2 c_out^2 + A'^2 c_out'^2), the paper's weight for EDM.
    ``source``: 1 / max(A^2 c_out^2, 1e-8), what the authors' released code computes.
    ``constant``: 1, the paper's "unweighted" ablation.
    """
    if name == "constant":
        return torch.ones_like(a)
    source = (a * c_out) ** 2
    if name == "source":
        return 1 / source.clamp_min(1e-8)
    return 1 / (source + (a_prime * c_out_prime) ** 2)


def td_losses(
    denoiser: DenoiserCall,
    target: DenoiserCall,
    formulation: Formulation,
    settings: TDSettings,
    x0: Tensor,
    labels: Tensor | None,
    noise: Noise,
    rotate: bool = True,
) -> Losses:
    """Losses of a batch under the TD objective.

    Where tau' lies inside the valid range the loss of an image is w ||delta||^2 + lambda L_base, elsewhere
    (1 + lambda) L_base, both at the same x_t; ||.||^2 is a mean over channels and pixels.

    Parameters
    ----------
    denoiser, target : callable
        (x, sigma, labels) -> estimate of x0. The target gets no gradient.
    x0 : Tensor
        (N, C, H, W) images.
    labels : Tensor or None
        (N, num_classes).
    noise : Noise
        ``time`` picks t. With ``rotate``, ``image`` is the noise of x_t itself, as in the baseline, and
        ``pair`` an independent one; without, they are the noise of x_t' and the noise added on the way
        from x_t' to x_t (for ``shared`` coupling, ``image`` is the noise of both points either way).
    """
    t = formulation.sample_time(noise.time)
    times = formulation.pair_times(t, settings.span, settings.stride)
    level_t, level_prime = formulation.level(t), formulation.level(times.t_prime)
    noise_prime, noise_added = noise.image, noise.pair
    if settings.coupling == "markov" and rotate:
        noise_prime, noise_added = rotate_noise(level_t, level_prime, noise.image, noise.pair)
    x_t, x_prime = couple(settings.coupling, x0, level_t, level_prime, noise_prime, noise_added)

    error = x0 - denoiser(x_t, t, labels)
    with torch.no_grad():
        error_prime = x0 - target(x_prime, times.t_prime, labels)

    posterior = settings.resolved_posterior
    a, _ = posterior_coefficients(posterior, level_t, formulation.level(times.tau))
    a_prime, _ = posterior_coefficients(posterior, level_prime, formulation.level(times.tau_prime))
    weight = pair_weight(settings.weight, a, formulation.c_out(t), a_prime, formulation.c_out(times.t_prime))
    # Masked before they meet: behind the grid either may be infinite, and 0 times that is NaN, gradient included.
    delta = residual(a, error, a_prime, error_prime).where(times.valid, 0.0)
    td = per_image_mean(weight.where(times.valid, 0.0) * delta**2)
    valid = times.valid.flatten()
    base = formulation.base_loss(error, t)
    # Not torch.where of two Python numbers, which would round them to float32.
    share = settings.lambda_ + (~valid).to(base.dtype)
    return Losses(td + share * base, base, td, valid)


def baseline_losses(
    denoiser: DenoiserCall, formulation: Formulation, x0: Tensor, labels: Tensor | None, noise: Noise
) -> Losses:
    """Losses of a batch under the formulation's own objective, at the same x_t as `td_losses`."""
    t = formulation.sample_time(noise.time)
    level = formulation.level(t)
    x_t = level.alpha * x0 + level.sigma * noise.image
    base = formulation.base_loss(x0 - denoiser(x_t, t, labels), t)
    return Losses(base, base, torch.zeros_like(base), torch.zeros_like(base, dtype=torch.bool))
