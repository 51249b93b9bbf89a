"""What a target in bfloat16 does to the loss and its gradient, beside one in float32."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from benchmarks.measure import Bench, Row
from benchmarks.subjects import EXACT, Training, images_for, varied
from tdbench.training.step import batch_losses

BATCH = 64


def rows(bench: Bench) -> Iterator[Row]:
    """EDM + TD at weights that were trained a little: both targets on the same batches with the same noise."""
    network, resolution = ("unet-tiny", None)
    trained, batches = (20, 8) if bench.quick else (400, 256)
    training = Training(varied("edm-td-seed0", network, BATCH, **EXACT), images_for(network, resolution), bench.device)
    for _ in range(trained):
        training.step()
    sums = _measure(training, batches)
    note = f"{network} after {trained} steps, batch {BATCH}"
    yield _ratio("mean TD loss, bf16 target / fp32", sums.losses, note)
    yield _gradients(sums, note)


@dataclass
class _Sums:
    """Of one batch after the other."""

    losses: list[tuple[float, float]] = field(default_factory=list)
    """With the bfloat16 target and with the float32 one."""
    exact: list[Tensor] = field(default_factory=list)
    """Gradients with the float32 target, flat, on the CPU."""
    change: list[Tensor] = field(default_factory=list)
    """What the bfloat16 target adds to them."""


def _measure(training: Training, batches: int) -> _Sums:
    state, run, found = training.state, training.run, _Sums()
    engines = [replace(state.engine, target_precision=precision) for precision in ("bf16", "fp32")]
    weights = list(state.denoiser.parameters())
    for step in range(batches):
        # Steps that were not trained on: other noise, other places in the epoch.
        there = training.done + step
        losses, gradients = [], []
        for engine in engines:
            state.engine = engine
            loss = batch_losses(run, state, training.batches.at(there), there).total.mean()
            parts = torch.autograd.grad(loss, weights, allow_unused=True)
            gradients.append(torch.cat([part.flatten() for part in parts if part is not None]).cpu())
            losses.append(float(loss))
        found.losses.append((losses[0], losses[1]))
        found.exact.append(gradients[1])
        found.change.append(gradients[0] - gradients[1])
    return found


def _ratio(name: str, pairs: list[tuple[float, float]], note: str) -> Row:
    """Ratio of means, with two standard errors of the paired difference, and what the batches' own noise is."""
    values = torch.tensor(pairs, dtype=torch.float64)
    mean, difference = values[:, 1].mean(), values[:, 0] - values[:, 1]
    bias, error = float(difference.mean() / mean), float(difference.std() / len(pairs) ** 0.5 / mean)
    noise = float(values[:, 1].std() / len(pairs) ** 0.5 / mean)
    found = f"relative bias {bias:+.1e} ± {error:.1e}; mean of {len(pairs)} batches known to {noise:.1e} only; {note}"
    return Row(name, "bias", 1 + bias, 1 + bias - 2 * error, 1 + bias + 2 * error, "± 2 s.e.", len(pairs), note=found)


def _gradients(sums: _Sums, note: str) -> Row:
    """The same of the mean gradient along itself; and how large the change is in any direction."""
    exact, change = torch.stack(sums.exact).double(), torch.stack(sums.change).double()
    mean = exact.mean(0)
    along = torch.stack([(exact + change) @ mean, exact @ mean], dim=1)
    count, size = len(exact), float(mean.norm())
    shift, noise = float(change.mean(0).norm()) / size, float((exact.var(0).sum() / count) ** 0.5) / size
    chance = float((change.var(0).sum() / count) ** 0.5) / size
    told = f"change in any direction {shift:.1e} of the gradient (chance alone: {chance:.1e}; batches: {noise:.1e})"
    row = _ratio("mean gradient along itself, bf16 target / fp32", [(float(a), float(b)) for a, b in along], note)
    return replace(row, note=f"{told}; {row.note}")
