"""`tdbench track`: writes every training, its snapshots and the report to MLflow, once each.

One process writes at a time: parallel writers lock each other out of an SQLite file, and two that create it at the same
time damage it.
"""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from tdbench.experiment.plan import Plan
from tdbench.records.layout import ReportLayout
from tdbench.reporting.tracking.client import connect, experiment_id
from tdbench.reporting.tracking.owned_runs import OwnedRuns
from tdbench.reporting.tracking.retry import patiently
from tdbench.reporting.tracking.runs import REPORT, Writer
from tdbench.reporting.tracking.uri import tracking_uri, without_password
from tdbench.runtime.files import make_folder, write_json
from tdbench.runtime.progress import progress


def track(plan: Plan, results: Path) -> None:
    """Write every run to MLflow; a complete run with the same content is kept.

    If it ends early, the next call removes incomplete runs and continues.

    Raises
    ------
    TdbenchError
        If MLflow's store cannot be reached or written after several retries.
    """
    uri, layout = tracking_uri(results), ReportLayout(results, plan.experiment.name)
    make_folder(layout.mlflow_db.parent)
    with FileLock(layout.mlflow_db.with_suffix(".lock")):
        ids = patiently(uri, lambda advanced: _track(plan, results, uri, advanced))
    write_json(layout.tracked, {"tracking_uri": without_password(uri), "experiment": plan.experiment.name, "runs": ids})


def _track(plan: Plan, results: Path, uri: str, advanced: Callable[[], None]) -> dict[str, str]:
    """Name of each run -> MLflow's id."""
    layout = ReportLayout(results, plan.experiment.name)
    client = connect(uri, layout.mlflow_db)
    experiment = experiment_id(client, plan, layout, on_file=uri.startswith("sqlite:"))
    there = OwnedRuns.find(client, experiment, results)
    writer, ids = Writer(client, experiment, results, there), {}
    with progress("mlflow", len(plan.runs), "run") as bar:
        for run in plan.runs.values():
            written = writer.written
            ids[run.name] = writer.training(run)
            if writer.written > written:
                advanced()
            bar.update(1)
    ids[REPORT] = writer.report(layout)
    # Search again, because a retried call may have created a run twice.
    left = OwnedRuns.find(client, experiment, results) if writer.written else there
    left.clear(client, ids.keys(), ids.values())
    return ids
