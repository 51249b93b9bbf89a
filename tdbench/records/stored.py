"""Reads the files of stages, each once, and checks them against the settings of the experiment."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tdbench.data.summary import DataSummary
from tdbench.diffusion.consistency import IMAGES, POINTS, has_yardstick
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.mechanism import Mechanism
from tdbench.records.sample_sets import sample_jobs, sample_key
from tdbench.records.schema import (
    Consistency,
    Finished,
    MetricsLine,
    NetworksEntry,
    Sampled,
    SampleSet,
    Scored,
    Settings,
    SnapshotEntry,
    Trained,
    checked_record,
    read_record,
)
from tdbench.runtime import advice
from tdbench.runtime.arrays import read_arrays
from tdbench.runtime.files import parse_json
from tdbench.runtime.progress_log import LogLine, read_log
from tdbench.validation import Record

R = TypeVar("R", bound=Record)


class Records:
    """The records of a results folder. Files are cached, also for runs that share them.

    A command uses one such object for all that it reads, so it does not see files that change meanwhile.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self._kept: dict[Path, Any] = {}
        self._runs: dict[tuple[str, str], RunRecords] = {}

    def of(self, run: Run) -> "RunRecords":
        """The records of one run."""
        key = (run.experiment, run.name)
        if key not in self._runs:
            self._runs[key] = RunRecords(run, self)
        return self._runs[key]

    def read(self, path: Path, made_by: str, shape: type[R]) -> R:
        """`read_record`, cached."""
        if path not in self._kept:
            self._kept[path] = read_record(path, made_by, shape)
        found: R = self._kept[path]
        return found

    def metrics(self, path: Path, made_by: str) -> list[MetricsLine]:
        """`read_metrics`, cached."""
        if path not in self._kept:
            self._kept[path] = read_metrics(path, made_by)
        found: list[MetricsLine] = self._kept[path]
        return found


class RunRecords:
    """The records of one run, checked against its settings.

    Every property raises a `TdbenchError` if its file is missing, damaged, or has settings other than the
    experiment's; the message names the command to run.
    """

    def __init__(self, run: Run, records: Records) -> None:
        self.run, self._records = run, records
        self.layout = RunLayout(records.results, run)
        self.files = DatasetLayout(records.results, run.dataset_name)

    def command(self, stage: str) -> str:
        """The command line of a stage of the run."""
        return advice.stage(stage, self.run, self._records.results)

    @property
    def origin(self) -> Trained:
        """run.json, whatever its settings."""
        return self._records.read(self.layout.settings, self.command("train"), Trained)

    @property
    def data(self) -> DataSummary:
        """The current summary of the data set."""
        command = advice.snakemake(self.run.file, self._records.results, self.files.archive)
        return self._records.read(self.files.summary, command, DataSummary)

    @cached_property
    def trained(self) -> Trained:
        """The record of a training with the run's settings."""
        record, command = self.origin, self.command("train")
        try:
            found = Run.model_validate(record.run)
            trained, wanted = self._compared_settings(found)
        except Exception as error:  # damaged settings and those of another version raise many kinds
            raise TdbenchError(
                f"{self.layout.settings}: its settings are damaged, or of another version of tdbench; "
                f"run `{command}` again"
            ) from error
        apart = {"dataset": None}
        but_for_the_source = trained | apart == wanted | apart
        if trained != wanted and not (but_for_the_source and self._same_images(record)):
            raise TdbenchError(
                f"{self.layout.settings}: was trained with other settings than the experiment's; run `{command}` again"
            )
        return record

    def _compared_settings(self, found: Run) -> tuple[Settings, Settings]:
        """The settings of a stored training and of the run, as far as they must be equal.

        A run that uses the weights of another run needs the same recipe. Its snapshots are looked for separately.
        """
        if self.run.trained_as is None:
            return found.training_settings(), self.run.training_settings()
        return found.recipe(), self.run.recipe()

    def check_trained(self) -> None:
        """Raise if there is no training with the run's settings."""
        _ = self.trained

    def _same_images(self, record: Trained) -> bool:
        """Whether a run with another data source was trained on the same images.

        A folder of images is the same data as the archive that was made from it and packed into a crate.
        """
        try:
            return record.data.same_data(self.data)
        except TdbenchError:
            return False

    @property
    def finished(self) -> Finished:
        """snapshots.json."""
        return self._records.read(self.layout.snapshots, self.command("train"), Finished)

    @cached_property
    def snapshots(self) -> dict[int, SnapshotEntry]:
        """Images shown -> snapshot; contains all snapshots that are sampled."""
        entries = {entry.images: entry for entry in self.finished.snapshots}
        wanted = (*self.run.scored_snapshots(), *self.run.curve_snapshots)
        missing = [images for images in wanted if images not in entries]
        if missing:
            raise TdbenchError(
                f"{self.layout.snapshots}: no snapshot after {missing[0]} images; run `{self.command('train')}` again"
            )
        return entries

    @property
    def metrics(self) -> list[MetricsLine]:
        """The lines of metrics.jsonl, those included of a training that continues for other runs."""
        return self._records.metrics(self.layout.metrics, self.command("train"))

    @property
    def own_metrics(self) -> list[MetricsLine]:
        """The lines of metrics.jsonl up to the end of this run."""
        return [line for line in self.metrics if line.images <= self.run.last_images]

    @property
    def last_line(self) -> MetricsLine:
        """The last line of metrics before the end of the run."""
        return next(reversed(self.own_metrics), self.finished.last_metrics)

    @property
    def seconds(self) -> float:
        """Training time until the end of the run."""
        found = self.snapshots[self.run.last_images].seconds
        return self.last_line.seconds if found is None else found

    @cached_property
    def sampled(self) -> list[SampleSet]:
        """The sample sets, ordered by snapshot and step budget."""
        return self._fitting_samples.samples

    @property
    def curve_sampled(self) -> list[SampleSet]:
        """The sample sets of the curve, ordered alike; empty without one."""
        return self._fitting_samples.curve

    @cached_property
    def _fitting_samples(self) -> Sampled:
        command = self.command("sample")
        found = self._records.read(self.layout.samples, command, Sampled)
        for records, jobs in zip((found.samples, found.curve), sample_jobs(self.run), strict=True):
            wanted = [sample_key(self.run, self.snapshots[j.images].sha256, j.steps, j.samples) for j in jobs]
            if [record.key for record in records] != wanted:
                raise TdbenchError(
                    f"{self.layout.samples}: made with other snapshots or settings than the experiment's; "
                    f"run `{command}` again"
                )
        return found

    def images_of(self, record: SampleSet) -> np.ndarray:
        """(N, H, W, C) uint8 images of a set of `sampled`; the file's checksum is compared with the record."""
        path, command = self.layout.folder / record.file, self.command("sample")
        return read_samples(path, command, record.sha256)

    def images_at(self, images: int, steps: int) -> np.ndarray:
        """(N, H, W, C) uint8 samples of the snapshot after ``images`` images, at a step budget."""
        wanted = (images, steps)
        return self.images_of(next(r for r in self.sampled if (r.snapshot_images, r.steps) == wanted))

    @cached_property
    def consistency(self) -> Consistency | None:
        """The cross-time residual; None if the formulation has no TD settings for it."""
        if not has_yardstick(self.run.formulation):
            return None
        command = self.command("sample")
        content = self._records.read(self.layout.consistency, command, Consistency)
        if content.key != self.consistency_key:
            raise TdbenchError(
                f"{self.layout.consistency}: measured with another snapshot or other settings; run `{command}` again"
            )
        return content

    @property
    def consistency_key(self) -> Settings:
        """The settings and inputs on which `consistency` depends."""
        last = self.run.scored_snapshots()[-1]
        return {
            "snapshot": next((entry.sha256 for entry in self.finished.snapshots if entry.images == last), None),
            "seed": self.run.seed,
            "images": IMAGES,
            "points": POINTS,
            "formulation": self.run.formulation.model_dump(mode="json", by_alias=True),
        }

    @property
    def networks(self) -> NetworksEntry | None:
        """The file of the trained network and its target at the end of the run; None if it was not kept."""
        return self.snapshots[self.run.last_images].networks

    @cached_property
    def mechanism(self) -> Mechanism | None:
        """The mechanism of the temporal difference; None if the run has no objective to measure it for."""
        if self.run.mechanism_td is None:
            return None
        command = self.command("sample")
        content = self._records.read(self.layout.mechanism, command, Mechanism)
        if content.key != self.mechanism_key:
            raise TdbenchError(
                f"{self.layout.mechanism}: measured with other weights or settings; run `{command}` again"
            )
        return content

    @property
    def mechanism_key(self) -> Settings:
        """The settings and inputs on which `mechanism` depends."""
        entry = self.snapshots[self.run.last_images]
        networks = None if entry.networks is None else entry.networks.sha256
        return self.run.mechanism_settings() | {"snapshot": entry.sha256, "networks": networks}

    @cached_property
    def scored(self) -> Scored:
        """The scores, one row for each library, metric and sample set, and the samples nearest to the data."""
        command = self.command("evaluate")
        stored = self._records.read(self.layout.scores, command, Scored)
        pairs = ((stored.scores, self.sampled), (stored.curve, self.curve_sampled))
        same_samples = all(
            {row.samples for row in rows} == {entry.sha256 for entry in entries} for rows, entries in pairs
        )
        if stored.evaluation != self.run.evaluation_settings() or not same_samples:
            raise TdbenchError(
                f"{self.layout.scores}: computed from other samples or settings than the experiment's; "
                f"run `{command}` again"
            )
        return stored

    @cached_property
    def progress(self) -> list[LogLine]:
        """The lines of progress.jsonl."""
        return read_log(self.layout.progress)


def read_samples(path: Path, made_by: str | None = None, checksum: str | None = None) -> np.ndarray:
    """(N, H, W, C) uint8 images of a sample set.

    Parameters
    ----------
    made_by : str or None
        The command that makes it again, for messages.
    checksum : str or None
        Expected SHA-256 of the file.

    Raises
    ------
    TdbenchError
        If it is missing, changed or damaged, or if its array has another dtype or shape.
    """
    try:
        with path.open("rb") as file:
            if checksum is not None and hashlib.file_digest(file, "sha256").hexdigest() != checksum:
                raise TdbenchError(f"{path}: missing or changed since it was sampled; {advice.again(made_by)}")
            file.seek(0)
            pixels = read_arrays(file, "arr_0")["arr_0"]
    except FileNotFoundError as error:
        said = "no such sample set" if checksum is None else "missing or changed since it was sampled"
        raise TdbenchError(f"{path}: {said}; {advice.again(made_by)}") from error
    except TdbenchError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(f"{path}: not a complete npz with arr_0 ({error}); {advice.again(made_by)}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise TdbenchError(f"{path}: arr_0 is {pixels.dtype} {pixels.shape}; expected uint8 (N, H, W, 1 or 3)")
    return pixels


def read_metrics(path: Path, made_by: str | None = None) -> list[MetricsLine]:
    """The lines of a metrics file; an incomplete last line, left by a killed process, is skipped.

    ``made_by`` is the command that writes the file, for messages.

    Raises
    ------
    TdbenchError
        If it is missing, or a line other than the last is invalid.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such file; {advice.again(made_by)}") from error
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be read ({error.strerror}); {advice.again(made_by)}") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = parse_json(text)
        except (ValueError, RecursionError) as error:
            if number == len(texts):
                break
            raise TdbenchError(f"{path}: line {number} is damaged; {advice.again(made_by)}") from error
        lines.append(checked_record(f"{path}: line {number}", line, made_by, MetricsLine))
    return lines
