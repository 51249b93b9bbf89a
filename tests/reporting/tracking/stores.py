"""What an MLflow store holds, checked and in a form that can be compared."""

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, Run, ViewType

from tests.reporting.tracking.conftest import RUNS, SNAPSHOTS, TRAININGS


def of_kind(client: MlflowClient, kind: str) -> list[Run]:
    """Runs of the experiment that are not deleted: ``training``, ``snapshot`` or ``report``."""
    found = client.search_runs([experiment(client)], f"tags.`tdbench.kind` = '{kind}'")
    return sorted(found, key=lambda run: str(run.info.run_name))


def experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("tiny")
    assert found is not None
    return str(found.experiment_id)


def assert_one_whole_copy(client: MlflowClient) -> None:
    """Everything once, ended, with its artifacts, and nothing besides."""
    everything = client.search_runs([experiment(client)])
    trainings, snapshots = of_kind(client, "training"), of_kind(client, "snapshot")
    assert len(everything) == RUNS * (1 + SNAPSHOTS) + 1 and len(trainings) == RUNS
    assert {run.info.status for run in everything} == {"FINISHED"}
    assert len({run.data.tags["tdbench.run"] for run in trainings}) == RUNS
    nested = [(run.data.tags["mlflow.parentRunId"], run.data.tags["tdbench.snapshot"]) for run in snapshots]
    ids = {run.info.run_id for run in trainings}
    assert sorted(nested) == sorted((run_id, images) for run_id in ids for images in ("320", "640"))
    for run in trainings:
        assert "fid/clean-fid" in run.data.metrics and "train/loss" in run.data.metrics
        assert len(client.list_artifacts(run.info.run_id)) == 5
    for run in snapshots:
        assert {f.path for f in client.list_artifacts(run.info.run_id, "samples")} == {
            "samples/steps-002.png",
            "samples/steps-004.png",
        }
    models = client.search_logged_models([experiment(client)])
    assert len(models) == TRAININGS and {model.status for model in models} == {LoggedModelStatus.READY}
    assert {model.source_run_id for model in models} <= ids


def contents(client: MlflowClient) -> Any:
    """All runs, deleted ones too, with all that is known of them, and all models."""
    runs = client.search_runs([experiment(client)], run_view_type=ViewType.ALL)
    models = client.search_logged_models([experiment(client)])
    return (
        sorted((run.to_dictionary() for run in runs), key=lambda run: run["info"]["run_id"]),
        sorted((model.model_id, model.last_updated_timestamp) for model in models),
    )
