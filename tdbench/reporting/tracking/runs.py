"""The runs that are written to MLflow: a training, its scored snapshots, and the report."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, Param

from tdbench.data.summary import DataSummary
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, ReportLayout
from tdbench.records.schema import Settings, Trained
from tdbench.records.stored import Records
from tdbench.records.weights import check_snapshot
from tdbench.reporting.tracking import metrics
from tdbench.reporting.tracking.client import log_batches, log_files
from tdbench.reporting.tracking.datasets import as_inputs, reference_data, training_data
from tdbench.reporting.tracking.model import log_model
from tdbench.reporting.tracking.owned_runs import CONTENT, KIND, PARENT, RESULTS, RUN, SNAPSHOT, OwnedRuns, owner
from tdbench.runtime import advice
from tdbench.runtime.files import sha256

REPORT = "report"
"""Name of the report's run."""
REPORTED = ("comparison", "comparison-equal-passes", "overall", "levels", "learning", "curves", "floor")
"""The tables that the report's run holds."""
_FORM = "nested 2"
"""Version of the format; runs in another version are written again."""


class Writer:
    """Writes runs of one experiment; complete runs with the same content are kept.

    The end of a run is written last, so a run without an end is incomplete.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, results: Path, there: OwnedRuns) -> None:
        self.client, self.experiment_id, self.results, self.there = client, experiment_id, results, there
        self.records = Records(results)
        self.written = 0

    def training(self, run: Run) -> str:
        """Write the run of a training unless it is complete already; returns its id."""
        records = self.records.of(run)
        layout, record, scored = records.layout, records.trained, records.scored
        files = [layout.settings, layout.metrics, layout.snapshots, layout.samples, layout.scores]
        content, models = _content(files), int(run.trained_as is None)
        kept = self.there.whole(run.name, content, run.scored_snapshots(), models)
        if kept is not None:
            return kept
        last = run.scored_snapshots()[-1]
        check_snapshot(layout.snapshot(last), records.snapshots[last], records.command("train"))
        began = _milliseconds(record.provenance.written_at)
        ended = began + int(records.seconds * 1000)
        run_id = self._begin(run.name, began, self._tags(run) | _facts(run, record) | {CONTENT: content})
        compared = self._log_data(run, run_id, record.data)
        model_id = None
        if models:
            model_id = log_model(self.client, self.experiment_id, run_id, run, record.data, layout, self._tags(run))
        log_batches(
            self.client,
            run_id,
            metrics.training_metrics(records.own_metrics, began)
            + metrics.curve_metrics(scored.curve, records.snapshots, run.training.batch_size, began)
            + metrics.score_metrics(scored.scores, ended, run.training.steps, {}),
            [Param(key, str(value)) for key, value in _flatten(record.run).items()],
        )
        log_files(self.client, run_id, files)
        for images in run.scored_snapshots():
            self._snapshot(run, run_id, images, compared, model_id if images == last else None)
        self._end(run_id, ended)
        return run_id

    def _log_data(self, run: Run, run_id: str, data: DataSummary) -> dict[str, Dataset]:
        """Log the training data and the reference features of a run; returns the latter, by library."""
        files = DatasetLayout(self.results, run.dataset_name)
        compared = reference_data(run, self.records.of(run).scored, files)
        self.client.log_inputs(run_id, as_inputs(training_data(run, data, files), compared))
        return compared

    def _snapshot(
        self,
        run: Run,
        parent: str,
        images: int,
        compared: dict[str, Dataset],
        model_id: str | None,
    ) -> None:
        records = self.records.of(run)
        mine = [entry for entry in records.sampled if entry.snapshot_images == images]
        ended = [_milliseconds(entry.provenance.written_at) for entry in mine]
        began = min(end - int(entry.seconds * 1000) for end, entry in zip(ended, mine, strict=True))
        scores = [row for row in records.scored.scores if round(row.snapshot_kimg * 1000) == images]
        run_id = self._begin(
            f"{run.name} at {images / 1000:g} kimg",
            began,
            self._tags(run)
            | {
                PARENT: parent,
                KIND: "snapshot",
                SNAPSHOT: str(images),
                "mlflow.source.type": "LOCAL",
                "mlflow.source.name": "tdbench sample",
            },
        )
        self.client.log_inputs(run_id, as_inputs(None, compared))
        about = {
            library: {"model_id": model_id, "dataset_name": data.name, "dataset_digest": data.digest}
            for library, data in compared.items()
            if model_id is not None
        }
        step = images // run.training.batch_size
        log_batches(self.client, run_id, metrics.score_metrics(scores, max(ended), step, about))
        log_files(self.client, run_id, [records.layout.sample_grid(images, entry.steps) for entry in mine], "samples")
        self._end(run_id, max(ended))

    def report(self, layout: ReportLayout) -> str:
        """Write the run of the report unless it is complete already; returns its id."""
        tables = [path for name in REPORTED for path in layout.table(name)]
        files = [layout.scores_parquet, layout.scores_csv, layout.runs_csv, *tables, layout.html]
        content = _content([layout.scores_csv, layout.html])
        kept = self.there.whole(REPORT, content, (), 0)
        if kept is not None:
            return kept
        tags = {RUN: REPORT, RESULTS: owner(self.results), CONTENT: content, KIND: "report"}
        written = int(layout.html.stat().st_mtime * 1000)
        run_id = self._begin(REPORT, written, tags)
        log_files(self.client, run_id, files)
        self._end(run_id, written)
        return run_id

    def _tags(self, run: Run) -> dict[str, str]:
        """Tags by which a training and its snapshots are found and grouped."""
        return {
            RUN: run.name,
            RESULTS: owner(self.results),
            "tdbench.data": run.dataset_name,
            "tdbench.formulation": run.formulation_name,
            "tdbench.objective": run.objective_name,
            "tdbench.seed": str(run.seed),
        }

    def _begin(self, name: str, began: int, tags: dict[str, str]) -> str:
        self.written += 1
        return str(self.client.create_run(self.experiment_id, began, tags, name).info.run_id)

    def _end(self, run_id: str, ended: int) -> None:
        self.client.set_terminated(run_id, end_time=ended)


def _facts(run: Run, record: Trained) -> dict[str, str]:
    """Tags with the provenance of a training."""
    return {
        KIND: "training",
        "mlflow.source.name": "tdbench train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": record.provenance.git_commit,
        "mlflow.note.content": _describe(run),
        "tdbench.data_sha256": record.data.sha256,
        "tdbench.weights_of": run.weights_name,
    }


def _describe(run: Run) -> str:
    """The description of a training for its MLflow page."""
    shared = f" It samples the weights of {run.trained_as}." if run.trained_as else ""
    return (
        f"{run.formulation_name} with objective {run.objective_name}, seed {run.seed}: "
        f"{run.training.images_at(run.training.steps) / 1000:g} kimg of {run.dataset_name} through "
        f"{run.network.kind}.{shared} Child runs are its scored snapshots; scores here are their means.\n\n"
        f"`{advice.command('train', run.file, run.name)}`"
    )


def _content(paths: Iterable[Path]) -> str:
    """A checksum of the files to be tracked."""
    return hashlib.sha256("".join([_FORM, *map(sha256, paths)]).encode()).hexdigest()


def _milliseconds(written_at: str) -> int:
    return int(datetime.fromisoformat(written_at).timestamp() * 1000)


def _flatten(block: Settings, prefix: str = "") -> Settings:
    """Dotted key -> value of every setting; lists as JSON."""
    flat: Settings = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        flat |= (
            _flatten(value, f"{name}.")
            if isinstance(value, dict)
            else {name: json.dumps(value) if isinstance(value, list) else value}
        )
    return flat
