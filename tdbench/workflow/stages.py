"""The stages of runs as jobs do them: one run after the other, skipping finished ones."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name

import torch

from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.schema import Trained
from tdbench.records.stages import STAGES, Stage
from tdbench.records.stored import Records
from tdbench.runtime import advice
from tdbench.runtime.distributed import ALONE, World
from tdbench.runtime.files import remove_leftovers, sha256, write_json
from tdbench.runtime.locks import Busy, hold_run
from tdbench.runtime.progress import say
from tdbench.runtime.progress_log import ProgressLog, first_line
from tdbench.runtime.provenance import provenance, same_code
from tdbench.sampling.consistency import measure_consistency
from tdbench.sampling.mechanism import measure_mechanism
from tdbench.sampling.stage import sample_run
from tdbench.training.loop import train as train_run
from tdbench.training.lpips_weights import unchanged


def _is_finished(stage: Stage, run: Run, layout: RunLayout, files: DatasetLayout, world: World) -> bool:
    """Return whether a stage is done; the leader decides for all processes."""
    is_finished = resolve_name(stage.finished)
    try:
        found = world.leader and is_finished(run, layout, files)
    except TdbenchError:
        # The files are missing, have other settings, or come from another version of tdbench.
        found = False
    return bool(world.broadcast(found))


def train(run: Run, layout: RunLayout, files: DatasetLayout, world: World) -> None:
    """Train a run: stage ``train``."""
    _need_archive(run, files)
    train_run(run, files.archive, layout, world)


def is_trained(run: Run, layout: RunLayout, files: DatasetLayout) -> bool:
    """Return whether stage ``train`` is done."""
    records = Records(layout.results).of(run)
    record = records.trained
    whole = all(
        sha256(layout.training / entry.file) == entry.sha256
        for entry in records.snapshots.values()
        if entry.images not in run.temporary_snapshots or (layout.training / entry.file).exists()
    )
    kept = records.networks
    return (
        whole
        and (kept is None or sha256(layout.training / kept.file) == kept.sha256)
        and record.data.same_data(records.data)
        and all(same_code(part.provenance) for part in record.stretches)
        and (not run.formulation.distance_weights_needed or _same_distance(run, record))
    )


def _need_archive(run: Run, files: DatasetLayout) -> None:
    if not files.archive.is_file():
        command = advice.snakemake(run.file, files.results, files.archive)
        raise TdbenchError(f"{files.archive}: no such archive; `{command}` makes it")


def _same_distance(run: Run, record: Trained) -> bool:
    used = record.distance_weights
    return used is not None and unchanged(run.training.distance_weights, used.sha256)


def sample(run: Run, layout: RunLayout, files: DatasetLayout, world: World) -> None:
    """Sample a run, and measure its consistency and its mechanism: stage ``sample``."""
    Records(layout.results).of(run).check_trained()
    _need_archive(run, files)
    sample_run(run, layout, world)
    if world.leader:
        measure_consistency(run, layout, files)
        measure_mechanism(run, layout, files)


def is_sampled(run: Run, layout: RunLayout, _: DatasetLayout) -> bool:
    """Return whether stage ``sample`` is done."""
    records = Records(layout.results).of(run)
    both = [*records.sampled, *records.curve_sampled]
    whole = all(sha256(layout.folder / record.file) == record.sha256 for record in both) and all(
        (layout.folder / record.file).with_suffix(".png").is_file() for record in records.sampled
    )
    origins = [record.provenance for record in both]
    origins += [found.provenance for found in (records.consistency, records.mechanism) if found is not None]
    return whole and all(map(same_code, origins))


# The scoring libraries take seconds to import, and only this stage needs them.
def evaluate(run: Run, layout: RunLayout, files: DatasetLayout, world: World) -> None:
    """Score the samples of a run: stage ``evaluate``."""
    from tdbench.evaluation.scores import evaluate_run

    evaluate_run(run, layout, files, world)


def is_scored(run: Run, layout: RunLayout, files: DatasetLayout) -> bool:
    """Return whether stage ``evaluate`` is done."""
    from tdbench.evaluation.scores import reference_checksums

    stored = Records(layout.results).of(run).scored
    return stored.references == reference_checksums(run, files) and same_code(stored.provenance)


def do_stage(
    name: str, runs: Iterable[Run], results: Path, keep_finished: bool, marker: Path | None, world: World = ALONE
) -> None:
    """Take runs through a stage. A failed run does not stop the others, unless several processes share the work.

    Parameters
    ----------
    keep_finished : bool
        Skip runs that already finished this stage with the same settings, input and code.
    marker : Path or None
        A file to write when all runs are done, for Snakemake.
    world : World
        The processes that share the work; all of them call this function.

    Raises
    ------
    TdbenchError
        With one line per failed run.
    """
    stage, chosen = STAGES[name], list(runs)
    failed: list[str] = []
    for i, run in enumerate(chosen):
        place = f"{name} {i + 1} of {len(chosen)}: {run.name}"
        try:
            with _locked(stage, run, RunLayout(results, run), world):
                _do_run(stage, run, results, keep_finished, world, place if len(chosen) > 1 else "")
        except (TdbenchError, OSError, torch.OutOfMemoryError) as error:
            if world.count > 1:
                # The others may be waiting for this process in the middle of the run.
                raise
            failed += error.mistakes if isinstance(error, TdbenchError) else [f"{run.name}: {first_line(error)}"]
            if i + 1 < len(chosen):
                say(f"{place}: failed ({failed[-1]}); continuing with the next")
    if failed:
        raise TdbenchError(*failed)
    if marker is not None and world.leader:
        write_json(marker, {"stage": name, "runs": [run.name for run in chosen], "provenance": provenance()})


def _do_run(stage: Stage, run: Run, results: Path, keep_finished: bool, world: World, place: str) -> None:
    """Take one run through a stage, unless it is finished and kept; ``place`` is its position in the batch, as text."""
    layout, files = RunLayout(results, run), DatasetLayout(results, run.dataset_name)
    if keep_finished and _is_finished(stage, run, layout, files, world):
        say(f"{place or f'{stage.name}: {run.name}'}: already finished, kept")
        return
    if place:
        say(place)
    log = ProgressLog(layout.progress, stage.name)
    try:
        resolve_name(stage.do)(run, layout, files, world)
    except (TdbenchError, OSError, torch.OutOfMemoryError) as error:
        log.failed(error)
        raise


@contextmanager
def _locked(stage: Stage, run: Run, layout: RunLayout, world: World) -> Iterator[None]:
    """Lock the folder that a stage writes to against other processes, on this host or another.

    Raises
    ------
    Busy
        In all processes of ``world``, if another process has the lock.
    """
    folder = layout.training if stage.shared else layout.folder
    hold, refused = hold_run(folder, run.name), None
    if world.leader:
        try:
            hold.take()
        except TdbenchError as error:
            refused = error
    if world.broadcast(refused is not None):
        raise refused or Busy(f"{run.name}: another process is working on this run")
    try:
        if world.leader:
            remove_leftovers(folder)
        yield
    finally:
        hold.release()
