"""The temporal-difference objective (arXiv 2606.15048), one implementation for every formulation.

Denoising is a Markov reward process from t = T down to 0 whose value at x_t is mu_tau(x_t, x0) - x0.
Comparing the true drift of the posterior mean between two points of the path with the model's gives the
residual

    delta = A (x0 - D(x_t)) - A' (x0 - D'(x_t')),

where D' is the target network. The kappa x terms of the long form cancel exactly; computing without
them keeps the digits that the long form loses at large sigma.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor

from tdbench.diffusion.formulations.base import (
    Estimates,
    Formulation,
    Losses,
    Noise,
    PairTimes,
    TDPreset,
    Weight,
    per_image_mean,
)
from tdbench.diffusion.objectives.base import Baseline, Objective
from tdbench.diffusion.objectives.passes import expected_target_images, rounded_up, valid_share
from tdbench.diffusion.objectives.schedules import Schedule, constant, scheduled, value_at
from tdbench.diffusion.objectives.targets import Target, TargetEMA, TargetOwn
from tdbench.diffusion.preconditioning import BACKWARD, FORWARD, Condition, DenoiserCall
from tdbench.diffusion.processes import Coupling, Level, Posterior, couple_behind, like, posterior_coefficients

Preset = Literal["paper", "release"]
Lambda = Annotated[Schedule, scheduled(ge=0)]
"""The weight of the base loss: a number, or a schedule over training."""
_OWN_POSTERIOR: dict[str, Posterior] = {"markov": "ancestral", "shared": "deterministic"}


class TDSettings(Objective):
    """The temporal-difference objective as an experiment writes it.

    A setting that is left out takes the value that ``preset`` has for the formulation (`td_presets`).
    """

    kind: Literal["td"] = "td"
    computed_as: ClassVar[type["TD"]]
    """The class that `resolved` returns. A subclass with its own kind or settings sets it to its subclass of `TD`."""

    preset: Annotated[Preset, Field(description="whose settings fill in what is left out")] = "paper"
    weight: Annotated[Weight | None, Field(description="w(t, t'), the weight of a pair")] = None
    lambda_: Annotated[
        Lambda | None, Field(alias="lambda", description="weight of the base loss; or a schedule over training")
    ] = None
    span: Annotated[float | None, Field(gt=0, description="k, grid indices from t to t'")] = None
    stride: Annotated[float | None, Field(gt=0, description="Delta, grid indices from t to tau")] = None
    coupling: Annotated[Coupling | None, Field(description="how x_t and x_t' are drawn together")] = None
    posterior: Annotated[Posterior | None, Field(description="A and kappa")] = None
    target: Annotated[Target | None, Field(description="how the target network follows")] = None
    begin: Annotated[
        float, Field(ge=0, le=1, description="share of training before which a step is the baseline's")
    ] = 0.0

    def resolved(self, formulation: Formulation) -> "TD":
        """The objective with every setting filled in, checked against the formulation."""
        presets = formulation.td_presets
        if self.preset not in presets:
            raise ValueError(f"preset {self.preset!r}: {formulation.kind} has {' and '.join(presets)} only")
        if type(self) is not TDSettings and self.computed_as is TD:
            raise ValueError(
                f"objective {self.kind!r}: {type(self).__name__} extends TDSettings, so that its own losses are never "
                f"called; set its class attribute computed_as to a subclass of TD that has them"
            )
        preset, preset_target = _preset(formulation, self.preset)
        coupling = self.coupling or preset.coupling
        # The preset's posterior belongs to the preset's coupling.
        posterior = preset.posterior if coupling == preset.coupling else _OWN_POSTERIOR[coupling]
        default: Target = TargetOwn() if formulation.own_target else TargetEMA()
        own = {name: getattr(self, name) for name in type(self).model_fields.keys() - TDSettings.model_fields.keys()}
        found = self.computed_as(
            **own,
            kind=self.kind,
            preset=self.preset,
            weight=self.weight or preset.weight,
            lambda_=preset.lambda_ if self.lambda_ is None else self.lambda_,
            span=self.span or preset.span,
            stride=self.stride or preset.stride,
            coupling=coupling,
            posterior=self.posterior or posterior,
            target=self.target or preset_target or default,
            begin=self.begin,
        )
        _check(found, formulation)
        return found

    def losses(
        self,
        denoiser: DenoiserCall,
        target: DenoiserCall | None,
        formulation: Formulation,
        x0: Tensor,
        condition: Condition,
        noise: Noise,
    ) -> Losses:
        """Those of the objective with its settings filled in."""
        return self.resolved(formulation).losses(denoiser, target, formulation, x0, condition, noise)


_TARGET: TypeAdapter[Target | None] = TypeAdapter(Target | None)


def _preset(formulation: Formulation, name: str) -> tuple[TDPreset, Target | None]:
    """A preset of a formulation, and its target where it names one.

    The preset of a user's formulation may be a mapping with the keys of an experiment.

    Raises
    ------
    ValueError
        If the mapping lacks a setting or has an unknown one.
    """
    given: TDPreset | Mapping[str, Any] = formulation.td_presets[name]
    if isinstance(given, TDPreset):
        return given, None
    named = {"lambda_" if key == "lambda" else key: value for key, value in given.items()}
    target = named.pop("target", None)
    if named.keys() != set(TDPreset._fields):
        unknown, missing = sorted(named.keys() - set(TDPreset._fields)), sorted(set(TDPreset._fields) - named.keys())
        wrong = {"unknown": unknown, "missing": missing}
        said = [f"{what}: {', '.join(names)}" for what, names in wrong.items() if names]
        known = f"it has {', '.join(TDPreset._fields)} and may have target"
        raise ValueError(f"preset {name!r} of formulation {formulation.kind!r}: {'; '.join(said)}; {known}")
    return TDPreset(**named), _TARGET.validate_python(target)


class TD(Objective):
    """The temporal-difference objective with all settings resolved: every setting of `TDSettings` has a value."""

    kind: Literal["td"] = "td"
    preset: Preset
    weight: Weight
    lambda_: Annotated[Lambda, Field(alias="lambda")]
    span: Annotated[float, Field(gt=0)]
    stride: Annotated[float, Field(gt=0)]
    coupling: Coupling
    posterior: Posterior
    target: Target
    begin: Annotated[float, Field(ge=0, le=1)] = 0.0

    def at(self, fraction: float) -> Objective:
        """Before ``begin`` the baseline; then this objective, with the value that a schedule has there."""
        if fraction < self.begin:
            return Baseline()
        if self.begin == 0 and not isinstance(self.lambda_, tuple):
            return self
        return self.model_copy(update={"begin": 0.0, "lambda_": value_at(self.lambda_, fraction)})

    @property
    def length_dependence(self) -> str | None:
        if isinstance(self.target, TargetEMA) and isinstance(self.target.decay_, tuple):
            return "the schedule of objective.target.decay depends on the length of training"
        return super().length_dependence

    def target_rule(self, formulation: Formulation) -> Target | None:
        return self.target if self.begin < 1 else Baseline().target_rule(formulation)

    def expected_passes(self, formulation: Formulation, images: int) -> float:
        """As for every objective, but from ``begin`` on the target sees the images with a valid pair, rounded up."""
        if formulation.own_target:
            return super().expected_passes(formulation, images)
        # The number of valid pairs is binomial.
        share = valid_share(formulation, self.span, self.stride)
        target = FORWARD * expected_target_images(share, images)
        return images * (FORWARD + BACKWARD) + (1 - self.begin) * target

    def losses(
        self,
        denoiser: DenoiserCall,
        target: DenoiserCall | None,
        formulation: Formulation,
        x0: Tensor,
        condition: Condition,
        noise: Noise,
    ) -> Losses:
        if self.begin > 0:
            raise ValueError("begin is a share of training: use the objective that `at` returns")
        constant(self.lambda_, "lambda")
        if target is None:
            raise ValueError("the temporal difference needs a target network")
        t = formulation.sample_time(noise.time)
        pair = draw_pair(formulation, self, x0, t, noise.image, noise.pair)
        return td_losses(denoiser, target, formulation, self, x0, condition, pair)


TDSettings.computed_as = TD


def _check(td: TD, formulation: Formulation) -> None:
    """Refuse settings that the formulation does not have.

    Raises
    ------
    ValueError
        Names the setting, its value and what would be right.
    """
    kind, span, stride = formulation.kind, td.span, td.stride
    if formulation.whole_indices and stride > span:
        raise ValueError(f"stride {stride:g} (Delta) must not exceed span {span:g} (k)")
    if not formulation.whole_indices and stride >= span:
        raise ValueError(
            f"stride {stride:g} (Delta) must be below span {span:g} (k): in the continuous time of {kind}, "
            "tau' < t' < tau < t; 0.25 with span 1 is EDM's"
        )
    if span + stride > formulation.grid.last:
        raise ValueError(
            f"span + stride (k + Delta) {span + stride:g}: reaches beyond the grid of {kind}; "
            f"must be at most {formulation.grid.last}"
        )
    if formulation.whole_indices and (span % 1 or stride % 1):
        raise ValueError(f"span {span:g} and stride {stride:g} must be whole numbers: {kind} has discrete steps")
    if td.weight not in formulation.weights:
        raise ValueError(f"weight {td.weight!r}: {kind} has {', '.join(formulation.weights)}")
    if td.coupling not in formulation.couplings:
        raise ValueError(f"coupling {td.coupling!r}: {kind} has {', '.join(formulation.couplings)}")
    if formulation.own_target and span != 1:
        raise ValueError(f"span {span:g}: {kind} compares neighbours, its span is 1")
    if formulation.own_target != isinstance(td.target, TargetOwn):
        allowed = "own, the one it has" if formulation.own_target else "ema, hard or online"
        raise ValueError(f"target {td.target.kind!r}: {kind} takes {allowed}")


class Pair(NamedTuple):
    """Two points of a path that the temporal difference compares, with their levels (N, 1, 1, 1)."""

    t: Tensor
    times: PairTimes
    level: Level
    level_prime: Level
    x_t: Tensor
    """(N, C, H, W)."""
    x_prime: Tensor
    """(N, C, H, W)."""


def draw_pair(formulation: Formulation, td: TD, x0: Tensor, t: Tensor, noise: Tensor, other: Tensor) -> Pair:
    """The points at t and at its t', drawn together.

    Parameters
    ----------
    t : Tensor
        (N, 1, 1, 1) times of the formulation.
    noise, other : Tensor
        (N, C, H, W) independent standard normal noise: of x_t itself, which is the baseline's, and what differs at x_t'
        (`couple_behind`).
    """
    times = formulation.pair_times(t, td.span, td.stride)
    level, level_prime = formulation.level(t), formulation.level(times.t_prime)
    x_t, x_prime = couple_behind(td.coupling, x0, level, level_prime, noise, other)
    return Pair(t, times, level, level_prime, x_t, x_prime)


def pair_coefficients(formulation: Formulation, td: TD, pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
    """A_{t,tau}, A_{t',tau'} and the weight w of a pair, (N, 1, 1, 1) float64; any where the pair is not valid."""
    t, times = pair.t, pair.times
    a, _ = posterior_coefficients(td.posterior, pair.level, formulation.level(times.tau))
    a_prime, _ = posterior_coefficients(td.posterior, pair.level_prime, formulation.level(times.tau_prime))
    return a, a_prime, formulation.pair_weight(td.weight, a, t, a_prime, times.t_prime)


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


def td_losses(
    denoiser: DenoiserCall,
    target: DenoiserCall,
    formulation: Formulation,
    td: TD,
    x0: Tensor,
    condition: Condition,
    pair: Pair,
) -> Losses:
    """Losses of a batch under the TD objective.

    Where tau' lies inside the valid range the loss of an image is w ||delta||^2 + lambda L_base, elsewhere
    (1 + lambda) L_base, both at the same x_t; ||.||^2 is a mean over channels and pixels. Each network is
    evaluated once, in every formulation: L_base uses the same evaluations.

    Parameters
    ----------
    denoiser, target : callable
        (x, t, condition) -> estimate of x0. The target gets no gradient.
    x0 : Tensor
        (N, C, H, W) images.
    pair : Pair
        What `draw_pair` gives.
    """
    t, times = pair.t, pair.times

    # A base loss that compares with the target needs its estimate of every image.
    needed = torch.ones_like(times.valid) if formulation.own_target else times.valid
    # The target first: its memory is free again before the network's forward pass keeps what its gradient needs.
    denoised_prime = _target_estimate(target, pair.x_prime, times.t_prime, condition, needed.flatten())
    denoised = denoiser(pair.x_t, t, condition)

    # Computed on the CPU while a GPU is at the networks.
    a, a_prime, weight = pair_coefficients(formulation, td, pair)
    # Masked before they meet: behind the grid any may be infinite, and 0 times that is NaN, gradient included.
    a, a_prime, weight = (like(v.where(times.valid, 0.0), x0) for v in (a, a_prime, weight))
    error_prime = (x0 - denoised_prime).where(times.valid.to(x0.device, non_blocking=True), 0.0)
    # w ||A (x0 - D) - A' (x0 - D')||^2
    paired = per_image_mean(weight * residual(a, x0 - denoised, a_prime, error_prime) ** 2)
    base = formulation.base_loss(Estimates(x0, denoised, t, denoised_prime, times.t_prime))
    # Not torch.where of two Python numbers, which would round them to float32.
    share = constant(td.lambda_, "lambda") + (~times.valid).double()
    # w ||delta||^2 + lambda L_base, or (1 + lambda) L_base where there is no pair
    return Losses(paired + like(share, base).flatten() * base, base, paired, times.valid.flatten())


@torch.no_grad()
def _target_estimate(
    target: DenoiserCall, x_prime: Tensor, t_prime: Tensor, condition: Condition, needed: Tensor
) -> Tensor:
    """D'(x_t', t') of the images where it is ``needed`` ((N,) bool, on the CPU); of others it may be x_t' itself.

    The network sees only the images that are needed, and those that round its batch up to a sixteenth of the batch.
    """
    total = len(needed)
    count = rounded_up(int(needed.sum()), total)
    if count == 0:
        return x_prime
    if count == total:
        return target(x_prime, t_prime, condition)
    # Those needed first, in their order.
    order = torch.argsort(~needed, stable=True)[:count]
    chosen = order.to(x_prime.device, non_blocking=True)
    found = target(x_prime[chosen], t_prime[order], condition.of(chosen))
    return x_prime.index_copy(0, chosen, found)
