"""`tdbench merge`: the runs that several machines made of one experiment, in one results folder.

Shards must be of the same settings, data, features, code and library versions, or a difference between seeds could be
one between machines' software. Weights and samples may also come from another experiment with the same trainings, such
as one that scores the same samples with other features.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdbench.errors import TdbenchError
from tdbench.evaluation.features import load_reference
from tdbench.evaluation.scores import reference_checksums
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, ReportLayout, RunLayout
from tdbench.records.stages import STAGES
from tdbench.records.stored import Records, RunRecords
from tdbench.runtime import advice
from tdbench.runtime.files import make_folder, sha256, write_json
from tdbench.runtime.locks import hold_results
from tdbench.runtime.progress import progress
from tdbench.runtime.provenance import Provenance, provenance
from tdbench.workflow.batches import batches

_LEFT_OUT = ("checkpoints",)


class Shard(NamedTuple):
    """A results folder with runs of the experiment, or of another one with the same trainings."""

    results: Path
    experiment: str
    """Name of the folder in it."""


class Found(NamedTuple):
    """A run in a shard."""

    shard: Shard
    run: Run
    records: RunRecords
    origins: tuple[Provenance, ...]
    """Of its training, its samples and its scores, as far as there are any."""


def find_shard(folder: Path, experiment: str) -> Shard:
    """The shard in a results folder, or in the folder of one experiment; raises TdbenchError if there is none."""
    if (folder / "runs").is_dir():
        whole = folder.resolve()
        return Shard(whole.parent, whole.name)
    if (folder / experiment / "runs").is_dir():
        return Shard(folder, experiment)
    said = "no such folder" if not folder.exists() else f"no runs of {experiment} in it"
    raise TdbenchError(f"{folder}: {said}; give a results folder, or the folder of one experiment in it")


def merge(plan: Plan, folders: Iterable[Path], results: Path) -> list[str]:
    """Copy the runs of shards into ``results``, as hard links where that is possible; returns lines for people.

    Nothing is copied unless all shards fit together and to what ``results`` has already.

    Raises
    ------
    TdbenchError
        If a folder has no runs of the experiment; if settings, data, features, code or versions differ; or if
        ``results`` or two shards have different trainings of a run. The message names the files.
    """
    name = plan.experiment.name
    shards = [find_shard(folder, name) for folder in folders]
    if (results / name / "runs").is_dir():
        shards.insert(0, Shard(results, name))
    found = [one for shard in shards for one in _runs(plan, shard)]
    if not found:
        raise TdbenchError(f"{', '.join(str(s.results / s.experiment) for s in shards)}: no finished training")
    _same_code(found)
    _same_data(plan, shards)
    chosen: dict[str, Found] = {}
    for one in found:
        _same_training(chosen.setdefault(one.run.name, one), one)
    make_folder(results)
    hold = hold_results(results)
    hold.take()
    try:
        for dataset in plan.experiment.datasets:
            _copy_dataset(shards, DatasetLayout(results, dataset))
        with progress("merging", len(chosen), "run") as bar:
            for one in chosen.values():
                _copy_run(plan, one, results)
                bar.update()
        _mark(plan, results)
    finally:
        hold.release()
    return _conclusion(plan, results)


def _runs(plan: Plan, shard: Shard) -> Iterator[Found]:
    """The trained runs of a shard, checked against the settings of the experiment."""
    same, stored = shard.experiment == plan.experiment.name, Records(shard.results)
    for run in plan.runs.values():
        records = stored.of(run.model_copy(update={"experiment": shard.experiment}))
        if not records.layout.snapshots.exists():
            continue
        origins = [part.provenance for part in records.trained.stretches]
        _whole(records)
        if same and records.layout.samples.exists():
            origins += [entry.provenance for entry in records.sampled]
        if same and records.layout.scores.exists():
            origins.append(records.scored.provenance)
        yield Found(shard, run, records, tuple(origins))


def _whole(records: RunRecords) -> None:
    """Raise if a snapshot that is needed is missing or has changed."""
    for entry in records.snapshots.values():
        path = records.layout.training / entry.file
        if path.exists() and sha256(path) == entry.sha256:
            continue
        if path.exists() or entry.images not in records.run.temporary_snapshots:
            raise TdbenchError(f"{path}: missing or changed since it was written; run `{records.command('train')}`")


def _same_code(found: list[Found]) -> None:
    first = found[0]
    wanted = first.origins[0]
    for one in found:
        for origin in one.origins:
            here, there = (f"{f.shard.results / f.shard.experiment}" for f in (one, first))
            if origin.code_sha256 != wanted.code_sha256:
                raise TdbenchError(
                    f"{here}: {one.run.name} was made by the code of commit {origin.git_commit[:12]}, and "
                    f"{first.run.name} in {there} by that of {wanted.git_commit[:12]}; make both with the same code"
                )
            for name in sorted(origin.versions.keys() | wanted.versions.keys()):
                mine, its = (versions.get(name, "none") for versions in (origin.versions, wanted.versions))
                if mine != its:
                    raise TdbenchError(
                        f"{here}: {one.run.name} was made with {name} {mine}, and {first.run.name} in {there} with "
                        f"{its}; make both with the same versions"
                    )


def _same_data(plan: Plan, shards: list[Shard]) -> None:
    """Raise unless shards have the same images, and features of them."""
    for name in plan.experiment.datasets:
        known = [files for s in shards if (files := DatasetLayout(s.results, name)).archive.exists()]
        checksums = [sha256(files.archive) for files in known]
        for files, checksum in zip(known, checksums, strict=True):
            if checksum != checksums[0]:
                raise TdbenchError(f"{files.archive}: holds other images than {known[0].archive}")
        features = plan.experiment.evaluation.features
        for library in plan.libraries(name):
            paths = [path for files in known if (path := files.reference(features, library)).exists()]
            for path in paths[1:]:
                ours, its = (load_reference(one).features for one in (paths[0], path))
                if not np.array_equal(ours, its):
                    raise TdbenchError(
                        f"{path}: holds other features of the data than {paths[0]}, so scores do not compare; copy "
                        f"{paths[0].parent} to the other machine before anything is scored there"
                    )


def _same_training(kept: Found, other: Found) -> None:
    if kept is other:
        return
    mine, its = ({e.images: e.sha256 for e in found.records.snapshots.values()} for found in (kept, other))
    if mine != its:
        raise TdbenchError(
            f"{other.records.layout.snapshots}: another training of {other.run.name} than "
            f"{kept.records.layout.snapshots}; leave one of them out"
        )


def _copy_dataset(shards: list[Shard], files: DatasetLayout) -> None:
    """The archive, its features and its floors; what is there already stays."""
    for shard in shards:
        folder = DatasetLayout(shard.results, files.folder.name).folder
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            target = files.folder / path.name
            if path.is_file() and not target.exists():
                make_folder(files.folder)
                _link(str(path), str(target))


def _copy_run(plan: Plan, one: Found, results: Path) -> None:
    """The files of a run, in place only when all of them are there."""
    layout, source = RunLayout(results, one.run), one.records.layout.folder
    if layout.folder.exists() or not source.is_dir():
        return
    unfinished = layout.folder.with_name(f".{layout.folder.name}.merging")
    shutil.rmtree(unfinished, ignore_errors=True)
    make_folder(unfinished.parent)
    left_out = _LEFT_OUT if one.shard.experiment == plan.experiment.name else (*_LEFT_OUT, layout.scores.name)
    shutil.copytree(source, unfinished, copy_function=_link, ignore=lambda _, names: set(names) & set(left_out))
    unfinished.rename(layout.folder)
    if layout.scores.exists():
        # The file of reference features that was kept: its features are equal, its record may not be.
        kept = reference_checksums(one.run, DatasetLayout(results, one.run.dataset_name))
        if one.records.scored.references != kept:
            write_json(layout.scores, one.records.scored.model_copy(update={"references": kept}))


def _mark(plan: Plan, results: Path) -> None:
    """Tell Snakemake which jobs are done: perhaps by other code, with which it would do them again."""
    report = ReportLayout(results, plan.experiment.name)
    for name, batch in batches(plan).items():
        for stage in STAGES.values():
            runs = batch.trainings if stage.shared else batch.runs
            if all(RunLayout(results, run).made_by(stage.name).exists() for run in runs):
                content = {"stage": stage.name, "runs": [run.name for run in runs], "provenance": provenance()}
                write_json(report.job(name, stage.name), content)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
    return target


def _conclusion(plan: Plan, results: Path) -> list[str]:
    """Which seeds are complete, and the command that goes on."""
    name, seeds = plan.experiment.name, plan.experiment.seeds
    lacking = {run.seed for run in plan.runs.values() if not RunLayout(results, run).scores.exists()}
    complete = [seed for seed in seeds if seed not in lacking]
    said = ", ".join(map(str, complete)) or "none"
    lines = [f"{results / name}: {len(complete)} of {len(seeds)} seeds are complete: {said}"]
    only = plan.only if not lacking else f"seed={','.join(map(str, complete))}"
    command = advice.snakemake(plan.path, results, only=only if complete else plan.only)
    return [*lines, f"`{command}` {'writes their report' if complete else 'makes what is missing'}"]
