"""Consistency training, CT (Song et al. 2023, algorithm 3): neighbours on a path must map to the same image."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tdbench.diffusion.distances import DISTANCES, GFLOPS, Distance
from tdbench.diffusion.formulations.base import Estimates, Formulation, TDPreset, Weight, uniform
from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.preconditioning import ConsistencyPreconditioning
from tdbench.diffusion.processes import Coupling, Level, like, variance_exploding
from tdbench.settings import Parameters


class Scales(Parameters):
    """The number of scales N of the grid during training, and how the target follows.

    Progressive: N(k) = ceil(sqrt(k/K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1 at step k of K, and the target's
    decay mu(k) = exp(s0 ln(mu0) / N(k)) (Song et al. 2023, appendix C, with s0 ``initial``, s1 ``final``).
    Equal ``initial`` and ``final`` leave N at that number.
    """

    initial: Annotated[int, Field(ge=2, le=1_000_000, description="s0")] = 2
    final: Annotated[int, Field(ge=2, le=1_000_000, description="s1")] = 150
    mu0: Annotated[float, Field(ge=0, lt=1, description="the target's decay at the beginning")] = 0.9

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.final < self.initial:
            raise ValueError(f"final {self.final} must not be below initial {self.initial}")
        return self

    def count(self, fraction: float) -> int:
        """N at a share of training in [0, 1]."""
        if self.initial == self.final:
            return self.final
        inside = fraction * ((self.final + 1) ** 2 - self.initial**2) + self.initial**2
        return min(math.ceil(math.sqrt(inside) - 1) + 1, self.final + 1)

    def decay(self, fraction: float) -> float:
        """The target's decay at a share of training."""
        if self.mu0 == 0:
            return 0.0
        return math.exp(self.initial * math.log(self.mu0) / self.count(fraction))


class CT(Formulation):
    """Consistency training on EDM's grid of N scales; a time is sigma.

    An index i in 0..N-2 is drawn evenly, x_t = x0 + sigma_i eps, and L = d(D(x_t), D'(x_t')) with the same
    eps at sigma_{i+1}. With x0 known the probability-flow ODE is a straight line, so x_t' is just the point
    that the temporal difference with span 1 compares with: TD + CT evaluates no network more than CT does.
    """

    kind: Literal["ct"] = "ct"
    sigma_data: Annotated[float, Field(gt=0, description="standard deviation of the data")] = 0.5
    distance: Annotated[Distance, Field(description="d")] = "l2"
    loss_weight: Annotated[
        Literal["uniform", "karras", "truncated-snr", "inverse-gap"],
        Field(description="1; 1/sigma^2 + 1/sigma_data^2; max(1/sigma^2, 1); 1/(sigma_i - sigma_{i+1})"),
    ] = "uniform"
    noise_scale: Annotated[
        float,
        Field(
            ge=1e-6,
            le=1e6,
            description="c_noise = noise_scale ln(sigma)/4: 1000 if steps 0..1000 are embedded, 1 for Fourier features",
        ),
    ] = 1000.0
    scales: Scales = Scales()
    grid: KarrasGrid = KarrasGrid()

    weights: ClassVar[tuple[Weight, ...]] = ("pairwise", "linear", "constant")
    couplings: ClassVar[tuple[Coupling, ...]] = ("shared",)
    own_target: ClassVar[bool] = True
    # The range and rho of the grid matter; the number of its points follows `scales`.
    no_matter_to_baseline: ClassVar[Mapping[str, bool | set[str]]] = {"grid": {"num_steps"}}
    td_presets: ClassVar[Mapping[str, TDPreset]] = {
        "paper": TDPreset("pairwise", lambda_=0.5, span=1.0, stride=0.25, coupling="shared", posterior="deterministic"),
        "release": TDPreset("pairwise", lambda_=0.5, span=1.0, stride=0.25, coupling="shared", posterior="ancestral"),
    }

    @property
    def loss_gflops(self) -> float:
        return GFLOPS.get(self.distance, 0.0)

    @property
    def distance_weights_needed(self) -> bool:
        return self.distance == "lpips"

    def preconditioning(self) -> ConsistencyPreconditioning:
        return ConsistencyPreconditioning(self.sigma_data, self.grid.sigma_min, self.noise_scale)

    def level(self, t: Tensor) -> Level:
        return variance_exploding(t)

    def time_of(self, ratio: Tensor) -> Tensor:
        return ratio

    def at(self, fraction: float) -> Self:
        grid = self.grid.model_copy(update={"num_steps": self.scales.count(fraction)})
        return self.model_copy(update={"grid": grid})

    def target_decay(self, fraction: float) -> float:
        return self.scales.decay(fraction)

    def sample_time(self, z: Tensor) -> Tensor:
        """sigma_i with i ~ U{0, ..., N - 2}."""
        return self.grid.time((uniform(z) * self.grid.last).floor().clamp(max=self.grid.last - 1))

    def base_loss(self, estimates: Estimates) -> Tensor:
        if estimates.denoised_prime is None or estimates.t_prime is None:
            raise ValueError("the consistency loss compares with the target network's estimate")
        weight = like(self._loss_weight(estimates.t, estimates.t_prime), estimates.x0).flatten()
        return weight * DISTANCES[self.distance](estimates.denoised, estimates.denoised_prime)

    def _loss_weight(self, t: Tensor, t_prime: Tensor) -> Tensor:
        if self.loss_weight == "karras":
            return 1 / t**2 + 1 / self.sigma_data**2
        if self.loss_weight == "truncated-snr":
            return (1 / t**2).clamp_min(1)
        if self.loss_weight == "inverse-gap":
            return 1 / (t - t_prime)
        return torch.ones_like(t)

    def pair_weight(self, name: Weight, a: Tensor, t: Tensor, a_prime: Tensor, t_prime: Tensor) -> Tensor:
        """w(t, t'), (N, 1, 1, 1), which for CT has no c_out.

        ``pairwise``: 1 / max(A^2 + A'^2, 0.01), the paper's and that of the released 64x64 code.
        ``linear``: 1 / max(A + A', 0.01), that of the released CIFAR-10 code. ``constant``: 1.
        """
        if name == "constant":
            return torch.ones_like(a)
        return 1 / ((a + a_prime) if name == "linear" else (a**2 + a_prime**2)).clamp_min(0.01)
