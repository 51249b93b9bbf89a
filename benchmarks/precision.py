"""Effect of a bfloat16 target on the loss and its gradient, compared with a float32 target."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from benchmarks.measure import Bench, Row
from benchmarks.subjects import EXACT, Training, images_for, varied
from tdbench.training.step import batch_losses, draw_step

BATCH = 64
EDGES = (0.0, 0.1, 0.3, 1.0, math.inf)
"""Boundaries of sigma; losses are compared separately between them."""
PARTS = 4
"""Number of parts of the batches; what their mean gradients have in common is not noise."""


def rows(bench: Bench) -> Iterator[Row]:
    """Compare both targets for EDM + TD after a short training, on the same batches with the same noise."""
    network, trained, batches = ("unet-tiny", 20, 8) if bench.quick else ("unet-small", 100, 80)
    # Always the digits, where a hundred steps are fast.
    training = Training(varied("edm-td-seed0", network, BATCH, **EXACT), images_for("unet-tiny"), bench.device)
    for _ in range(trained):
        training.step()
    seen = _look(training, batches)
    note = f"{network} on digits after {trained} steps"
    losses, exact, sigmas = (torch.cat(parts) for parts in (seen.losses, seen.exact, seen.sigmas))
    yield _ratio("mean loss, bf16 / fp32", losses, exact, note)
    for low, high in itertools.pairwise(EDGES):
        here = (sigmas >= low) & (sigmas < high)
        yield _ratio(f"of these, {low:g} ≤ σ < {high:g}", losses[here], exact[here])
    along = torch.stack(seen.along).double()
    yield _ratio("mean gradient along itself, bf16 / fp32", along.sum(1), along[:, 0])
    yield _any_direction(seen)


@dataclass
class _Seen:
    """Results of the batches. A change is the difference of the bfloat16 result from the float32 one."""

    losses: list[Tensor] = field(default_factory=list)
    """(N,) of each batch, with the bfloat16 target; and with the float32 one:"""
    exact: list[Tensor] = field(default_factory=list)
    sigmas: list[Tensor] = field(default_factory=list)
    along: list[Tensor] = field(default_factory=list)
    """(2,) of each batch: gradient and change along a mean gradient of other batches."""
    gradients: list[Tensor] = field(default_factory=list)
    """Sums of gradients over each of `PARTS` parts of the batches, flat; and of changes:"""
    changes: list[Tensor] = field(default_factory=list)
    squares: list[tuple[float, float]] = field(default_factory=list)
    """Squared norms of each batch's gradient and change."""

    def add_gradients(self, gradient: Tensor, change: Tensor, direction: Tensor) -> None:
        place = len(self.squares) % PARTS
        if len(self.gradients) < PARTS:
            self.gradients.append(torch.zeros_like(gradient))
            self.changes.append(torch.zeros_like(change))
        self.gradients[place] += gradient
        self.changes[place] += change
        self.squares.append((float(gradient.square().sum()), float(change.square().sum())))
        self.along.append(torch.stack([gradient @ direction, change @ direction]).cpu())


def _look(training: Training, batches: int) -> _Seen:
    """Return losses and gradients at steps outside the training: other noise, other places in the epoch."""
    state, run, seen = training.state, training.run, _Seen()
    exact = state.engine
    cheap = replace(exact, target_precision="bf16")
    first = training.done + batches
    direction = torch.stack([_evaluated(training, first + i)[1] for i in range(PARTS)]).mean(0)
    for step in range(training.done, training.done + batches):
        (plain, gradient), state.engine = _evaluated(training, step), cheap
        (rounded, changed), state.engine = _evaluated(training, step), exact
        seen.losses.append(rounded)
        seen.exact.append(plain)
        shape = tuple(training.batches.at(step).images.shape)
        seen.sigmas.append(run.formulation.sample_time(draw_step(run, step, shape, state.device).noise.time).flatten())
        seen.add_gradients(gradient, changed - gradient, direction)
    return seen


def _evaluated(training: Training, step: int) -> tuple[Tensor, Tensor]:
    """Return the (N,) losses of a step's batch, float64 on the CPU, and the flat gradient of their mean."""
    losses = batch_losses(training.run, training.state, training.batches.at(step), step).total
    weights = list(training.state.denoiser.parameters())
    parts = torch.autograd.grad(losses.mean(), weights, allow_unused=True)
    return losses.detach().double().cpu(), torch.cat([part.flatten() for part in parts if part is not None])


def _ratio(name: str, rounded: Tensor, exact: Tensor, note: str = "") -> Row:
    """Return the ratio of means with two standard errors of the paired difference, and the noise of the mean."""
    mean, count, difference = exact.mean(), len(exact), rounded - exact
    bias, error = float(difference.mean() / mean), float(difference.std() / count**0.5 / mean)
    noise = float(exact.std() / count**0.5 / mean)
    told = f"relative change {bias:+.1e} ± {error:.1e} (s.e.); the mean itself is known to {noise:.0e}"
    told = f"{told}; {note}" if note else told
    return Row(name, "bias", 1 + bias, 1 + bias - 2 * error, 1 + bias + 2 * error, "± 2 s.e.", count, note=told)


def _any_direction(seen: _Seen) -> Row:
    """Return the length of the mean change over that of the mean gradient, from products of different batches."""
    count = len(seen.squares)

    def common(sums: list[Tensor]) -> Tensor:
        """Return estimates of the squared length of the mean, one per pair of parts."""
        size = count / PARTS
        return torch.stack([a.double() @ b.double() / size**2 for a, b in itertools.combinations(sums, 2)])

    gradient, change = float(common(seen.gradients).mean()), common(seen.changes)
    noise = (sum(square for square, _ in seen.squares) / count - gradient) ** 0.5
    low, middle, high = (float(v.clamp_min(0).sqrt()) for v in (change.min(), change.mean(), change.max()))
    size = gradient**0.5
    share = middle**2 / (sum(square for _, square in seen.squares) / count)
    told = f"{middle / noise:.1e} of one batch's noise; {share:.0%} of a batch's squared change is common to all"
    return Row(
        "mean gradient's change in any direction / its length",
        "error",
        middle / size,
        low / size,
        high / size,
        "pairs of quarters",
        count,
        note=told,
    )
