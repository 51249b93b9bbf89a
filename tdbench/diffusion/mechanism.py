"""Why the temporal difference can help: how much of the gradient's variance it removes, and what its target costs.

With e = x0 - D(x_t) and e' = x0 - D(x_t') the gradient of the loss w ||A e - A' e'||^2 + lambda ||e||^2 / c_out^2 with
respect to D(x_t) is, relative to the baseline's,

    size (e - beta e'),   beta = w A A' / (w A^2 + lambda / c_out^2),   size = (w A^2 + lambda / c_out^2) c_out^2.

Under the coupling `markov` and an accurate D, e - e' is uncorrelated with e': e' is a control variate of e. Its price
is the target network D', which lags behind: its error enters as beta (D - D').
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.measured_pairs import pair_at
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.objectives.passes import QUANTILES
from tdbench.diffusion.objectives.schedules import constant
from tdbench.diffusion.objectives.td import TD, Pair, pair_coefficients, td_losses
from tdbench.diffusion.preconditioning import Condition, DenoiserCall

_FINE = 4096
"""Indices at which sigma / alpha is tabulated to find the index of a noise level."""
_SLACK = 1.02
"""Noise levels may lie this factor beyond the last pair, since people round them."""


@dataclass(frozen=True)
class GradientNoise:
    """The gradient of all weights over batches at one time: trace of its covariance, and its squared mean."""

    variance: float
    """tr Var of the gradient of a batch."""
    squared_mean: float
    """||mean||^2 without bias; it may be negative where the mean is lost in the noise."""


@dataclass(frozen=True)
class MechanismAt:
    """The mechanism at one time t. Variances are over images, means over channels and pixels."""

    index: float
    """Of t, counted towards the data."""
    noise_level: float
    """sigma / alpha at t."""
    share: float
    """Share of the training times that lie nearest to t."""
    valid: float
    """Share of these that have a pair inside the grid."""
    variance: float
    """var(e) / c_out^2: that of the baseline's gradient with respect to the raw network, up to a factor."""
    correlation: float
    """corr(e, e')."""
    beta: float
    """The coefficient of e' under the objective's settings."""
    best_beta: float
    """The coefficient that removes most variance, cov(e, e') / var(e')."""
    remaining: float
    """var(e - beta e') / var(e)."""
    size: float
    """The gradient's factor beside the baseline's."""
    lag: float | None = None
    """E ||D - D'||^2 / var(e) at x_t', D the trained network and D' its target; None where none was kept."""
    noise: GradientNoise | None = None
    """Of the baseline's gradient."""
    noise_td: GradientNoise | None = None
    """Of the temporal difference's, at the same weights."""


def td_at_the_end(td: Objective, share: float) -> TD | None:
    """A temporal difference as it is late in training, or None if it has no pairs that are drawn as a Markov path.

    ``share`` of training. One that begins later or never is taken as if it had begun.
    """
    if not isinstance(td, TD) or td.coupling != "markov":
        return None
    found = td.model_copy(update={"begin": 0.0}).at(share)
    assert isinstance(found, TD), "it has begun"
    return found


def indices_of(formulation: Formulation, td: TD, noise_levels: list[float]) -> list[float]:
    """Indices of the times at which sigma / alpha has these values.

    Raises
    ------
    ValueError
        If there is no pair at a noise level.
    """
    last = formulation.grid.last - td.span - td.stride
    fine = torch.linspace(0, last, int(last) + 1 if formulation.whole_indices else _FINE, dtype=torch.float64)
    levels = formulation.level(formulation.grid.time(fine.view(-1, 1, 1, 1)))
    ratios = (levels.sigma / levels.alpha).flatten()
    for wanted in noise_levels:
        if not float(ratios[-1]) / _SLACK <= wanted <= float(ratios[0]) * _SLACK:
            raise ValueError(
                f"noise level {wanted:g}: pairs of {formulation.kind} have {float(ratios[-1]):.3g} to "
                f"{float(ratios[0]):.3g}"
            )
    # Rising for numpy.
    found = np.interp(np.log(noise_levels), ratios.log().numpy()[::-1], fine.numpy()[::-1])
    return [float(round(index)) if formulation.whole_indices else float(index) for index in found]


@dataclass(frozen=True)
class Networks:
    """The networks that a mechanism is measured with."""

    denoiser: DenoiserCall
    """The averaged network of a snapshot: D."""
    trained: DenoiserCall | None = None
    """The network that was trained, without average."""
    target: DenoiserCall | None = None
    """Its target."""


def measure(
    networks: Networks,
    formulation: Formulation,
    td: TD,
    x0: Tensor,
    condition: Condition,
    indices: list[float],
    source: torch.Generator,
    part: int = 256,
) -> Iterator[MechanismAt]:
    """Yield the mechanism at each time.

    Parameters
    ----------
    formulation : Formulation
        As it is at the end of training.
    td : TD
        The settings whose effect is asked for (`td_at_the_end`).
    x0 : Tensor
        (N, C, H, W) images in [-1, 1].
    indices : list of float
        Of the times, on the grid, each with a valid pair.
    source : torch.Generator
        On the CPU; gives the noise.
    part : int
        Images that go through a network at once.
    """

    def evaluated(call: DenoiserCall, x: Tensor, t: Tensor) -> Tensor:
        return _evaluated(call, x, t, condition, part)

    for index, (share, valid) in zip(indices, _shares(formulation, td, indices), strict=True):
        pair = pair_at(formulation, td, x0, index, source)
        prime = (pair.x_prime, pair.times.t_prime)
        error = (x0 - evaluated(networks.denoiser, pair.x_t, pair.t)).double().cpu()
        error_prime = (x0 - evaluated(networks.denoiser, *prime)).double().cpu()
        variance, variance_prime = _variance(error), _variance(error_prime)
        covariance = (_variance(error + error_prime) - variance - variance_prime) / 2
        lag = None
        if networks.trained is not None and networks.target is not None:
            apart = evaluated(networks.trained, *prime) - evaluated(networks.target, *prime)
            lag = float(apart.square().mean(dtype=torch.float64)) / variance
        beta, size = control_variate(formulation, td, pair)
        level = formulation.level(pair.t[:1])
        yield MechanismAt(
            index=index,
            noise_level=float(level.sigma / level.alpha),
            share=share,
            valid=valid,
            variance=variance / float(formulation.preconditioning().c_out(pair.t[:1])) ** 2,
            correlation=covariance / (variance * variance_prime) ** 0.5,
            beta=beta,
            best_beta=covariance / variance_prime,
            remaining=_variance(error - beta * error_prime) / variance,
            size=size,
            lag=lag,
        )


def control_variate(formulation: Formulation, td: TD, pair: Pair) -> tuple[float, float]:
    """(beta, size) at the time of a pair, the same for all of its images; see the head of this module."""
    a, a_prime, weight = (float(value.flatten()[0]) for value in pair_coefficients(formulation, td, pair))
    inverse = 1 / float(formulation.preconditioning().c_out(pair.t[:1])) ** 2
    scale = weight * a**2 + constant(td.lambda_, "lambda") * inverse
    return weight * a * a_prime / scale, scale / inverse


@torch.no_grad()
def _evaluated(call: DenoiserCall, x: Tensor, t: Tensor, condition: Condition, part: int) -> Tensor:
    places = [slice(start, start + part) for start in range(0, len(x), part)]
    return torch.cat([call(x[place], t[place], condition.of(place)) for place in places])


def _variance(error: Tensor) -> float:
    """Over images, mean over channels and pixels."""
    return float(error.var(0).mean())


def _shares(formulation: Formulation, td: TD, indices: list[float]) -> list[tuple[float, float]]:
    """For each index the share of training times that lie nearest to it, and the share of these with a valid pair."""
    levels = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
    t = formulation.sample_time(torch.special.ndtri(levels).view(-1, 1, 1, 1))
    valid = formulation.pair_times(t, td.span, td.stride).valid.flatten()
    places = torch.tensor(indices, dtype=torch.float64)
    nearest = (formulation.grid.index(t).view(-1, 1) - places).abs().argmin(1)
    found = []
    for i in range(len(indices)):
        mine = nearest == i
        count = int(mine.sum())
        found.append((count / QUANTILES, float(valid[mine].double().mean()) if count else 1.0))
    return found


def gradient_noise(
    denoiser: nn.Module,
    formulation: Formulation,
    td: TD,
    batches: list[tuple[Tensor, Condition]],
    index: float,
    source: torch.Generator,
) -> tuple[GradientNoise, GradientNoise]:
    """The noise of the baseline's and of the temporal difference's gradient at the same weights.

    The target is the network itself: an accurate one.

    Parameters
    ----------
    denoiser : nn.Module
        (x, t, condition) -> estimate of x0.
    batches : list of (Tensor, Condition)
        At least two batches of images (N, C, H, W) of the size of training.
    """
    parameters = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    sums = {"base": _GradientSums(), "td": _GradientSums()}
    for x0, condition in batches:
        pair = pair_at(formulation, td, x0, index, source)
        losses = td_losses(denoiser, denoiser, formulation, td, x0, condition, pair)
        for name, loss in (("base", losses.base), ("td", losses.total)):
            # Both losses use the same evaluations. A weight that a loss does not use has a gradient of zero.
            sums[name].add(torch.autograd.grad(loss.mean(), parameters, retain_graph=True, materialize_grads=True))
    return sums["base"].noise(), sums["td"].noise()


class _GradientSums:
    """Sums over the gradients of batches."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._squares, self._count = 0.0, 0

    def add(self, gradients: tuple[Tensor, ...]) -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients]).double()
        self._sum = flat if self._sum is None else self._sum + flat
        self._squares += float(flat.square().sum())
        self._count += 1

    def noise(self) -> GradientNoise:
        assert self._sum is not None and self._count > 1
        square_of_mean = float((self._sum / self._count).square().sum())
        variance = (self._squares - self._count * square_of_mean) / (self._count - 1)
        return GradientNoise(variance, square_of_mean - variance / self._count)
