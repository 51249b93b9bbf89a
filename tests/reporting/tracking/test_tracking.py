"""`tdbench track` into a SQLite file: what is there, once, whatever interrupts it."""

import json
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.data import get_source
from sqlalchemy import Engine
from sqlalchemy.event import listen
from torch.nn.functional import one_hot

from tdbench.diffusion.preconditioning import Condition
from tdbench.errors import TdbenchError
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.weights import load_snapshot
from tdbench.reporting.tracking.datasets import DIGEST_LENGTH
from tdbench.runtime.files import sha256
from tdbench.training.state import build_denoiser
from tests.reporting.tracking.conftest import Tracked
from tests.reporting.tracking.stores import assert_one_whole_copy, contents, experiment, of_kind

RUN = "digits/ddpm-td-seed0"


@pytest.fixture(scope="module")
def tracked(finished: Tracked, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Results that were tracked once; not to be changed."""
    copy = tmp_path_factory.mktemp("tracked") / "results"
    shutil.copytree(finished.results, copy)
    tracked = Tracked(finished.plan, copy)
    tracked.track()
    return tracked


@pytest.fixture
def client(tracked: Tracked) -> MlflowClient:
    return MlflowClient(tracked.local)


def test_everything_is_there_and_a_second_call_changes_nothing(tracked: Tracked, client: MlflowClient) -> None:
    assert_one_whole_copy(client)
    record = json.loads((tracked.results / "tiny" / "mlflow.json").read_text())
    assert set(record["runs"]) == {*tracked.plan.runs, "report"}
    before = contents(client)
    tracked.track_here()
    assert contents(client) == before


def stored_scores(tracked: Tracked) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads(layout(tracked).scores.read_text())["scores"]
    return rows


def layout(tracked: Tracked) -> RunLayout:
    return RunLayout(tracked.results, tracked.plan.runs[RUN])


def test_scores_are_by_nfe_and_curves_by_step(tracked: Tracked, client: MlflowClient) -> None:
    parent = next(run for run in of_kind(client, "training") if run.data.tags["tdbench.run"] == RUN)
    rows = [row for row in stored_scores(tracked) if (row["metric"], row["library"]) == ("fid", "clean-fid")]
    for child in of_kind(client, "snapshot"):
        if child.data.tags["mlflow.parentRunId"] != parent.info.run_id:
            continue
        kimg = int(child.data.tags["tdbench.snapshot"]) / 1000
        by_nfe = {m.step: m.value for m in client.get_metric_history(child.info.run_id, "fid/clean-fid")}
        assert by_nfe == {row["nfe"]: row["value"] for row in rows if row["snapshot_kimg"] == kimg}
        assert len(by_nfe) == 2
    means = {m.step: m.value for m in client.get_metric_history(parent.info.run_id, "fid/clean-fid")}
    for nfe, mean in means.items():
        assert mean == pytest.approx(np.mean([row["value"] for row in rows if row["nfe"] == nfe]))
        assert parent.data.metrics[f"fid/clean-fid/nfe-{nfe:03d}"] == mean
    lines = [json.loads(line) for line in layout(tracked).metrics.read_text().splitlines()]
    curve = {m.step: m.value for m in client.get_metric_history(parent.info.run_id, "train/loss")}
    assert curve == {line["step"]: line["loss"] for line in lines} and len(curve) >= 2
    scored = json.loads(layout(tracked).scores.read_text())["curve"]
    points = {m.step: m.value for m in client.get_metric_history(parent.info.run_id, "curve/fid/clean-fid/nfe-002")}
    assert points == {round(row["snapshot_kimg"] * 1000) // 64: row["value"] for row in scored} and len(points) == 4
    seconds = json.loads(layout(tracked).snapshots.read_text())["snapshots"][-1]["seconds"]
    assert (parent.info.end_time - parent.info.start_time) / 1000 == pytest.approx(seconds, abs=0.002)


def test_data_sets_are_named_with_their_checksums(tracked: Tracked, client: MlflowClient) -> None:
    parent = next(run for run in of_kind(client, "training") if run.data.tags["tdbench.run"] == RUN)
    files = DatasetLayout(tracked.results, "digits")
    inputs = client.get_run(parent.info.run_id).inputs.dataset_inputs
    found = {(i.tags[0].value, i.dataset.digest): i.dataset for i in inputs}
    trained = found["training", sha256(files.archive)[:DIGEST_LENGTH]]
    assert trained.name == "digits" and Path(get_source(trained).load()).samefile(files.archive)
    assert json.loads(trained.profile)["num_rows"] == 1797
    for library in ("clean-fid", "torch-fidelity"):
        path = files.reference("classifier", library)
        assert Path(get_source(found["reference", sha256(path)[:DIGEST_LENGTH]]).load()).samefile(path)


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_the_model_gives_what_our_own_loading_gives(tracked: Tracked, client: MlflowClient) -> None:
    run = tracked.plan.runs[RUN]
    logged = next(m for m in client.search_logged_models([experiment(client)]) if m.tags["tdbench.run"] == RUN)
    mlflow.set_tracking_uri(tracked.local)
    try:
        model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    finally:
        mlflow.set_tracking_uri(None)
    rng = np.random.default_rng(0)
    given = {
        "images": rng.standard_normal((5, 1, 8, 8)).astype(np.float32),
        "times": np.array([1.0, 10, 100, 500, 999]),
        "labels": np.array([0, 3, 5, 7, 9]),
    }
    denoiser = build_denoiser(run, SimpleNamespace(channels=1, resolution=8, classes=10), seed=3).eval()
    load_snapshot(layout(tracked).snapshot(640), denoiser)
    with torch.no_grad():
        condition = Condition(one_hot(torch.from_numpy(given["labels"]), 10).float())
        expected = denoiser(
            torch.from_numpy(given["images"]), torch.from_numpy(given["times"]).reshape(-1, 1, 1, 1), condition
        )
    np.testing.assert_array_equal(model.predict(given), expected.numpy())
    with pytest.raises(mlflow.MlflowException, match="images"):
        model.predict(given | {"images": np.zeros((5, 3, 8, 8), np.float32)})
    with pytest.raises(TdbenchError, match=r"labels: 0\.\.10; expected 0\.\.9"):
        model.predict(given | {"labels": np.array([0, 3, 5, 7, 10])})
    # The scores of the snapshot stand on the model's page.
    found = {m.key: m.value for m in client.get_logged_model(logged.model_id).metrics}
    rows = [row for row in stored_scores(tracked) if row["snapshot_kimg"] == 0.64]
    assert found == {f"{r['metric']}/{r['library']}/nfe-{r['nfe']:03d}": r["value"] for r in rows}


@pytest.mark.slow
def test_what_changed_is_written_anew_and_the_rest_left(results: Tracked) -> None:
    results.track_here()
    client = MlflowClient(results.local)
    before = {run.data.tags["tdbench.run"]: run.info.run_id for run in of_kind(client, "training")}
    metrics = layout(results).metrics
    metrics.write_text(metrics.read_text().rsplit("\n", 2)[0] + "\n")
    # A nested run of another one that somebody deleted is missed, too.
    robbed = next(run for run in of_kind(client, "snapshot") if run.data.tags["tdbench.run"] == "digits/ddim-td-seed0")
    client.delete_run(robbed.info.run_id)
    results.track_here()
    assert_one_whole_copy(client)
    after = {run.data.tags["tdbench.run"]: run.info.run_id for run in of_kind(client, "training")}
    assert {name for name in before if before[name] != after[name]} == {RUN, "digits/ddim-td-seed0"}


def count(path: Path, query: str) -> int:
    """What a query counts in a store that may not be there yet."""
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=0.1)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


DELETED = "select count(*) from runs where lifecycle_stage = 'deleted'"
FINISHED = "select count(*) from runs where status = 'FINISHED'"
MOMENTS: dict[str, Callable[[Path, int], bool]] = {
    "while the store is made": lambda db, _: any(p.stat().st_size > 100_000 for p in db.parent.glob(".mlflow.*.db")),
    "in the first run": lambda db, _: count(db, "select count(*) from runs") == 1,
    "while a model is logged": lambda db, _: count(db, "select count(*) from logged_models where status = 1") == 1,
    "in the second training": lambda db, finished: count(db, FINISHED) >= finished + 5,
    "in the report": lambda db, _: count(db, "select count(*) from runs where name = 'report'") == 1,
    "while what is left over is deleted": lambda db, _: count(db, DELETED) >= 1,
}


def killed_when(reached: Callable[[], bool], track_here: Callable[[], None]) -> None:
    """Track until a moment has come, and die there.

    Seen from another process the moment might have passed before anybody looks; here the store is looked at before each
    of the writer's own statements.
    """

    def die(*_: object) -> None:
        if reached():
            os.kill(os.getpid(), signal.SIGKILL)

    listen(Engine, "before_cursor_execute", die)
    track_here()


@pytest.mark.slow
def test_one_whole_copy_after_being_killed_at_any_moment(results: Tracked) -> None:
    """Killed again and again, each time at another moment."""
    store = results.results / "mlflow" / "mlflow.db"
    for moment, reached in MOMENTS.items():
        now = partial(reached, store, count(store, FINISHED))
        # A fork needs no time to import libraries; nothing here has opened the store.
        process = get_context("fork").Process(target=killed_when, args=(now, results.track_here))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, moment
        assert now(), moment
    results.track_here()
    client = MlflowClient(results.local)
    assert_one_whole_copy(client)
    found = contents(client)
    results.track_here()
    assert contents(client) == found


def test_a_store_that_refuses_is_named_in_one_line(results: Tracked) -> None:
    process = results.begin("postgresql+nothing://me:secret@127.0.0.1/x")
    out, said = process.communicate()
    assert process.returncode == 2 and "Traceback" not in out + said and "secret" not in said
    assert said.count("\n") == 1 and "MLflow at postgresql+nothing://me:***@127.0.0.1/x:" in said


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["snapshots/000000640.safetensors", "samples/000000320/steps-002.png"])
def test_a_missing_file_is_named(results: Tracked, lost: str) -> None:
    path = layout(results).folder / lost
    path.unlink()
    with pytest.raises(TdbenchError, match=f"^{re.escape(str(path))}: "):
        results.track_here()
