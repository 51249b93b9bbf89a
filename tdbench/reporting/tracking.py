"""MLflow: an MLflow experiment for ours, a run for each training.

One process at a time writes, at the end: parallel writers on one SQLite file lock each other out, and two that make
it at once break it.
"""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

# Set before mlflow is imported: nothing is sent anywhere but to the tracking server.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from tdbench.errors import TdbenchError
from tdbench.evaluation.stored import read_scored
from tdbench.files import make_folder, sha256, write_json
from tdbench.layout import ReportLayout, RunLayout
from tdbench.plan import Plan
from tdbench.plan import Run as TrainingRun
from tdbench.progress import progress
from tdbench.reporting.store import tracking_uri, without_password
from tdbench.sampling import read_trained
from tdbench.training.metrics import read_metrics

_BATCH = 1000  # most metrics that one call of MLflow takes
_RUN_TAG, _CONTENT_TAG, _RESULTS_TAG = "tdbench.run", "tdbench.content", "tdbench.results"


def track(plan: Plan, results: Path) -> None:
    """Write every run to MLflow; a run that is there already with the same content is left alone.

    Raises
    ------
    TdbenchError
        If MLflow's store cannot be reached or written.
    """
    uri = tracking_uri(results)
    layout = ReportLayout(results, plan.experiment.name)
    make_folder(layout.mlflow_db.parent)
    with FileLock(layout.mlflow_db.with_suffix(".lock")):
        ids = _track(plan, results, uri)
    write_json(layout.tracked, {"tracking_uri": without_password(uri), "experiment": plan.experiment.name, "runs": ids})


def _track(plan: Plan, results: Path, uri: str) -> dict[str, str]:
    """Our name of each run -> MLflow's id."""
    layout = ReportLayout(results, plan.experiment.name)
    try:
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, plan, layout)
        ids = {}
        with progress("mlflow", len(plan.runs), "run") as bar:
            for run in plan.runs.values():
                ids[run.name] = _track_run(client, experiment_id, run, RunLayout(results, run), _owner(results))
                bar.update(1)
        ids["report"] = _track_report(client, experiment_id, layout, _owner(results))
        return ids
    except (MlflowException, SQLAlchemyError) as error:
        shown = without_password(uri)
        reason = str(error).splitlines()[0].replace(uri, shown)
        raise TdbenchError(
            f"MLflow at {shown}: {reason}; check MLFLOW_TRACKING_URI or unset it for a local file"
        ) from error


def _experiment(client: MlflowClient, plan: Plan, layout: ReportLayout) -> str:
    found = client.get_experiment_by_name(plan.experiment.name)
    if found is not None:
        return str(found.experiment_id)
    # A server decides itself where artifacts go; a local file would put them into the current folder.
    on_file = tracking_uri(layout.folder.parent).startswith("sqlite:")
    local = make_folder(layout.mlflow_artifacts).resolve().as_uri() if on_file else None
    # The kind makes MLflow's page show runs and their curves rather than traces of language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return str(client.create_experiment(plan.experiment.name, artifact_location=local, tags=tags))


def _content(*paths: Path) -> str:
    """A checksum of what is to be tracked."""
    return hashlib.sha256("".join(sha256(path) for path in paths).encode()).hexdigest()


def _owner(results: Path) -> str:
    """Whose runs these are: a server may hold those of other people and folders under the same names."""
    return hashlib.sha256(f"{platform.node()}:{results.resolve()}".encode()).hexdigest()[:16]


def _begin(
    client: MlflowClient, experiment_id: str, name: str, content: str, owner: str, tags: dict[str, str]
) -> Run | str:
    """The id of our run ``name`` if it is tracked whole; else a new run, and our older ones of that name go."""
    query = f"tags.`{_RUN_TAG}` = '{name}' and tags.`{_RESULTS_TAG}` = '{owner}'"
    found = client.search_runs([experiment_id], query, run_view_type=ViewType.ACTIVE_ONLY)
    kept = None
    for run in found:
        whole = run.info.status == "FINISHED" and run.data.tags.get(_CONTENT_TAG) == content
        if whole and kept is None:
            kept = str(run.info.run_id)
        else:
            client.delete_run(run.info.run_id)
    own = {_RUN_TAG: name, _CONTENT_TAG: content, _RESULTS_TAG: owner}
    return kept or client.create_run(experiment_id, run_name=name, tags=own | tags)


def _track_run(client: MlflowClient, experiment_id: str, run: TrainingRun, layout: RunLayout, owner: str) -> str:
    record = read_trained(run, layout)
    scores = read_scored(run, layout)
    origin, data = record["provenance"], record["data"]
    tags = {
        "mlflow.source.git.commit": origin["git_commit"], "tdbench.data_sha256": data["sha256"],
        "tdbench.data": run.dataset_name,
        "tdbench.formulation": run.formulation_name, "tdbench.objective": run.objective_name,
    }  # fmt: skip
    content = _content(layout.settings, layout.metrics, layout.snapshots, layout.scores)
    begun = _begin(client, experiment_id, run.name, content, owner, tags)
    if isinstance(begun, str):
        return begun
    run_id = str(begun.info.run_id)
    started = int(begun.info.start_time)
    _log_metrics(client, run_id, _training_metrics(layout, started) + _score_metrics(scores, started))
    client.log_batch(run_id, params=[Param(k, str(v)) for k, v in _flatten(record["run"]).items()])
    for path in (layout.settings, layout.metrics, layout.snapshots, layout.scores):
        client.log_artifact(run_id, str(path))
    last = run.scored_snapshots()[-1]
    client.log_artifact(run_id, str(layout.snapshot(last)), "snapshots")
    for steps in run.sampling.steps:
        client.log_artifact(run_id, str(layout.sample_grid(last, steps)), "samples")
    client.set_terminated(run_id)
    return run_id


def _track_report(client: MlflowClient, experiment_id: str, layout: ReportLayout, owner: str) -> str:
    files = [layout.scores_parquet, layout.scores_csv, layout.runs_csv, *layout.table("comparison"), layout.html]
    begun = _begin(
        client, experiment_id, "report", _content(layout.scores_csv, layout.html), owner, {"tdbench.kind": "report"}
    )
    if isinstance(begun, str):
        return begun
    run_id = str(begun.info.run_id)
    for path in files:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id


def _training_metrics(layout: RunLayout, started: int) -> list[Metric]:
    """One metric a figure and line of metrics.jsonl, by training step."""
    return [
        Metric(f"train/{key}", value, started + int(line["seconds"] * 1000), line["step"])
        for line in read_metrics(layout.metrics)
        for key, value in line.items()
        if key not in ("step", "seconds") and value is not None
    ]


def _score_metrics(scores: list[dict[str, Any]], started: int) -> list[Metric]:
    """One metric a score, by the snapshot's images shown: ``fid/clean-fid/steps-009``."""
    return [
        Metric(
            f"{s['metric']}/{s['library']}/steps-{s['steps']:03d}", s["value"], started, int(s["snapshot_kimg"] * 1000)
        )
        for s in scores
    ]


def _log_metrics(client: MlflowClient, run_id: str, metrics: list[Metric]) -> None:
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH], tags=[RunTag("tdbench.logging", "metrics")])


def _flatten(block: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        flat |= (
            _flatten(value, f"{name}.")
            if isinstance(value, dict)
            else {name: json.dumps(value) if isinstance(value, list) else value}
        )
    return flat
