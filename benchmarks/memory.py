"""Peak memory of a TD step relative to its baseline, at the paper's size."""

import warnings
from collections.abc import Iterator

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.live_bytes import LiveBytes
from benchmarks.measure import Bench, Row, exact
from benchmarks.subjects import Training, images_for, varied
from tdbench.data.loading import Batch
from tdbench.experiment.load import load_plan
from tdbench.experiment.run import Run
from tdbench.training.ema import AveragedNetwork
from tdbench.training.optimizers import build_optimizer
from tdbench.training.state import TrainingState

AT_MOST = 1.06
STEPS = 2
"""Number of steps; the optimizer's moments exist from the second step on."""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure EDM on CIFAR-10 with the paper's settings: by the GPU's allocator, otherwise by fake tensors."""
    for precision in ("fp32", "bf16"):
        formats = {"precision": precision, "target_precision": precision}
        runs = [_run(bench, objective, **formats) for objective in ("baseline", "td")]
        count = allocated_peak if bench.cuda else fake_peak
        base, with_td = (count(run, bench.device) for run in runs)
        how = "as allocated" if bench.cuda else "counted on fake tensors"
        note = f"{how}: {with_td / 1e9:.4g} GB over {base / 1e9:.4g} GB, batch {runs[0].training.batch_size}"
        name = f"TD / baseline, edm, {runs[0].network.kind}, {precision}"
        yield exact(name, "memory", with_td / base, note, AT_MOST)


def _run(bench: Bench, objective: str, **formats: str) -> Run:
    name = f"edm-{objective}-seed0"
    if bench.quick:
        return varied(name, "unet-tiny", 512, **formats)
    content = load_plan("cifar10").run(name).alone().model_dump(by_alias=True)
    content["training"] |= formats
    return Run.model_validate(content)


def allocated_peak(run: Run, device: torch.device) -> int:
    """Return the peak bytes of PyTorch's allocator during the steps, on a GPU."""
    training = Training(run, images_for(run.network.kind), device)
    training.step()
    torch.cuda.reset_peak_memory_stats(device)
    training.step()
    return torch.cuda.max_memory_allocated(device)


def fake_peak(run: Run, device: torch.device) -> int:
    """Return the peak bytes of tensors during the steps, without computing any image."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    return counted_peak(run, device, mode)


def counted_peak(run: Run, device: torch.device, mode: FakeTensorMode | None = None) -> int:
    """Like `fake_peak`, with real tensors if ``mode`` is None."""
    training = Training(run, images_for(run.network.kind), device)
    state, batch = training.state, training.batches.at(0)
    if mode is not None:
        batch = Batch(*(None if part is None else mode.from_tensor(part) for part in batch))
        _make_fake(state, run, mode)
    networks = [state.denoiser, state.average.network, *([state.target.network] if state.target else [])]
    with LiveBytes() as counter:
        for tensor in (t for network in networks for t in (*network.parameters(), *network.buffers())):
            counter.note(tensor)
        for _ in range(STEPS):
            training.step_with(batch)
    return counter.peak


def _make_fake(state: TrainingState, run: Run, mode: FakeTensorMode) -> None:
    """Replace every parameter and buffer by a fake tensor, and rebuild the objects that refer to them."""
    for module in state.denoiser.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                fake = mode.from_tensor(weight.detach())
                module._parameters[name] = nn.Parameter(fake, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer)
    with warnings.catch_warnings():
        # Copying needs addresses, which fake tensors do not have.
        warnings.simplefilter("ignore", UserWarning)
        state.average = AveragedNetwork(state.denoiser)
        if state.target is not None:
            state.target = AveragedNetwork(state.denoiser)
    state.optimizer = build_optimizer(state.denoiser.parameters(), run.training)
