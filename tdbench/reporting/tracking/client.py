"""MLflow's client, and the MLflow experiment to which everything is written."""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

# Set before mlflow is imported, so that data is sent only to the tracking server.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
# Otherwise MLflow prints two lines for each of hundreds of runs.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Retries are in retry.py, because MLflow would wait silently for up to four minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.records.layout import ReportLayout
from tdbench.reporting.tracking.uri import sqlite_uri
from tdbench.runtime.files import atomic_path, make_folder

METRICS_A_CALL, PARAMS_A_CALL = 900, 100
"""Limits of one call of MLflow: 1,000 entries of all kinds together, and less than 1 MB."""

_NOTE = """{description}

A run is a training; its child runs are its scored snapshots. `train/...` are figures of the training by step. Scores
such as `fid/clean-fid` have the number of network evaluations (NFE) as their step, and `fid/clean-fid/nfe-017` is the
one at an NFE of 17; in a training's run they are means over its scored snapshots. Group by the tags
`tdbench.formulation` and `tdbench.objective` to average over seeds. The run `report` has the tables and the page."""


def connect(uri: str, local: Path) -> MlflowClient:
    """A client of the store at ``uri``; creates the file ``local`` if ``uri`` is that file and it is missing."""
    # Errors are raised; without this MLflow also prints a traceback, and urllib3 a line for each attempt.
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if uri == sqlite_uri(local) and not local.exists():
        _make_store(local)
    return MlflowClient(tracking_uri=uri)


def _make_store(path: Path) -> None:
    """Create an empty store atomically, because MLflow refuses a store with incomplete tables."""
    with atomic_path(path) as temporary:
        MlflowClient(tracking_uri=sqlite_uri(temporary)).search_experiments(max_results=1)


def experiment_id(client: MlflowClient, plan: Plan, layout: ReportLayout, on_file: bool) -> str:
    """MLflow's id of the plan's experiment; creates the experiment if it is missing."""
    found = client.get_experiment_by_name(plan.experiment.name)
    note = _NOTE.format(description=plan.experiment.description).strip()
    if found is not None:
        if found.tags.get("mlflow.note.content") is None:
            client.set_experiment_tag(found.experiment_id, "mlflow.note.content", note)
        return str(found.experiment_id)
    # A server has its own place for artifacts; for a local file, MLflow would use the current folder.
    place = make_folder(layout.mlflow_artifacts).resolve().as_uri() if on_file else None
    # With this kind MLflow's page shows runs and their curves instead of traces of language models.
    tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
    return str(client.create_experiment(plan.experiment.name, artifact_location=place, tags=tags))


def log_batches(client: MlflowClient, run_id: str, metrics: Sequence[Metric], params: Sequence[Param] = ()) -> None:
    """Log metrics and parameters of a run in as few calls as MLflow allows."""
    for i in range(max(-(-len(metrics) // METRICS_A_CALL), -(-len(params) // PARAMS_A_CALL))):
        client.log_batch(
            run_id,
            metrics=metrics[METRICS_A_CALL * i : METRICS_A_CALL * (i + 1)],
            params=params[PARAMS_A_CALL * i : PARAMS_A_CALL * (i + 1)],
        )


def log_files(client: MlflowClient, run_id: str, files: Iterable[Path], folder: str | None = None) -> None:
    """Log files as artifacts of a run, in one call.

    Raises
    ------
    TdbenchError
        If one is missing.
    """
    with TemporaryDirectory() as temporary:
        for path in files:
            if not path.is_file():
                raise TdbenchError(f"{path}: no such file; run snakemake again to make it")
            Path(temporary, path.name).symlink_to(path.resolve())
        client.log_artifacts(run_id, temporary, folder)
