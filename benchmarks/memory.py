"""The most memory a step with the temporal difference needs over a step of its baseline, at the paper's size."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.live_bytes import LiveBytes
from benchmarks.measure import Bench, Row, exact
from benchmarks.subjects import EXACT, Training, images_for, varied
from tdbench.data.loading import Batch
from tdbench.plan import Run
from tdbench.training.step import one_step

AT_MOST = 1.06
"""The paper reports 6 % more."""

STEPS = 2
"""The first makes the optimizer's moments, the second has all that any later one has."""


def rows(bench: Bench) -> Iterator[Row]:
    """EDM with each number format: measured on a GPU, counted from fake tensors elsewhere."""
    network, batch = ("unet-tiny", 64) if bench.quick else ("ddpmpp", 512)
    measured = partial(measured_peak, bench.device) if bench.cuda else counted_peak
    formats: dict[str, dict[str, Any]] = {"fp32": EXACT, "bf16": {"precision": "bf16", "target_precision": "bf16"}}
    for name, settings in formats.items():
        count, peaks = batch, None
        while peaks is None:
            try:
                peaks = [measured(varied(f"edm-{kind}-seed0", network, count, **settings)) for kind in ("td", "baseline")]
            except torch.OutOfMemoryError:
                count //= 2
        note = f"batch {count}, {peaks[0] / 1e9:.3g} GB and {peaks[1] / 1e9:.3g} GB"
        note += ", of the allocator" if bench.cuda else ", counted from fake tensors"
        yield exact(f"{network}, {name}", "memory", peaks[0] / peaks[1], note, AT_MOST)


def measured_peak(device: torch.device, run: Run) -> int:
    """Bytes that CUDA's allocator held at most during a step."""
    training = Training(run, images_for(run.network.kind), device)
    for _ in range(STEPS):
        torch.cuda.reset_peak_memory_stats(device)
        training.step()
    return torch.cuda.max_memory_allocated(device)


def counted_peak(run: Run, fake: bool = True) -> int:
    """Bytes that tensors held at most during a step on the CPU, all of it: networks, gradients, moments, activations.

    Parameters
    ----------
    fake : bool
        Compute nothing. A step then takes every pair for valid, which costs the temporal difference the most.
    """
    data, counter = images_for(run.network.kind), LiveBytes(answer=run.training.batch_size if fake else None)
    with ExitStack() as stack:
        if fake:
            stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
            # Parameters that are fake cannot be moved, not even to where they are.
            stack.enter_context(mock.patch.object(nn.Module, "to", lambda self, *_, **__: self))
        stack.enter_context(counter)
        training = Training(run, data, torch.device("cpu"))
        shape = (run.training.batch_size, data.channels, data.resolution, data.resolution)
        batch = Batch(torch.zeros(shape), torch.zeros(shape[0], data.num_classes))
        for step in range(STEPS):
            counter.peak = counter.live
            one_step(run, training.state, batch, step, training.metrics)
    return counter.peak
