"""Cost of checkpoints: writing and resuming, relative to a step and to the interval between two."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Bench, Row, alternate
from benchmarks.subjects import Training, images_for, varied
from tdbench.records.schema import CheckpointFacts
from tdbench.training.checkpoint import Identity, find_checkpoint, save_checkpoint


def rows(bench: Bench) -> Iterator[Row]:
    """Measure EDM + TD, which has the largest state: network, target, average and the optimizer's two moments."""
    sizes = {"unet-tiny": 64} if bench.quick else {"unet-tiny": 64, "ddpmpp": 2}
    for network, batch in sizes.items():
        run = varied("edm-td-seed0", network, 512 if bench.cuda else batch)
        training = Training(run, images_for(network), bench.device)
        training.step()
        with tempfile.TemporaryDirectory(prefix="tdbench-") as folder:
            yield from _compared(bench, network, training, Path(folder))


def _compared(bench: Bench, network: str, training: Training, folder: Path) -> Iterator[Row]:
    wanted = Identity({}, "0" * 64, None)
    facts = CheckpointFacts(
        settings={}, data=wanted.data, step=0, snapshots=[], line=None, parts=[], metrics_bytes=0, seconds=0.0
    )

    def write() -> None:
        save_checkpoint(folder, 0, training.state.tensors(), facts)

    def resume() -> None:
        checkpoint = find_checkpoint(folder, wanted, lambda facts: None)
        assert checkpoint is not None
        training.state.load(checkpoint.tensors())

    write()
    works = {f"writing a checkpoint / step, {network}": write, f"resuming / step, {network}": resume}
    repeats = bench.repeats(9 if network == "unet-tiny" else 3)
    note = f"batch {training.run.training.batch_size}"
    written, resumed = alternate(bench, works, training.step, repeats, note=note)
    size = sum(tensor.nbytes for tensor in training.state.tensors().values()) / 1e6
    yield replace(written, note=f"{note}, {size:,.0f} MB")
    yield resumed
    assert written.seconds is not None
    interval = training.run.training.checkpoint_minutes * 60
    share = written.seconds[0] / interval
    yield replace(
        written,
        name=f"wall time with checkpoints / without, {network}",
        ratio=1 + share,
        low=1 + share,
        high=1 + share,
        spread="from the median",
        seconds=None,
        note=f"one in {interval / 60:g} minutes, the default",
    )
