"""A small experiment with all its results, to be tracked again and again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tdbench.evaluation.floor import write_floors
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout
from tdbench.reporting.findings import Findings
from tdbench.reporting.report import write_part
from tdbench.reporting.tracking.track import track
from tdbench.workflow.stages import do_stage
from tests.conftest import ROOT, TINY, results_with_data
from tests.preloaded import preloaded

CHANGES = {
    # DDPM's and DDIM's baselines share one training.
    "formulations:\n  edm: {}": "formulations:\n  ddpm: {}\n  ddim: {}",
    "seeds: [0, 1]": "seeds: [0]",
    "duration_kimg: 2.56": "duration_kimg: 0.64",
    "last_percent: 25": "last_percent: 60, equal_passes: false",
    "curve: {points: 6, images: 100, steps: [4]}": "curve: {points: 4, images: 64, steps: [2]}",
    "sampling: {steps: [2, 4], images: 128": "sampling: {sampler: {kind: ddim, clip: true}, steps: [2, 4], images: 64",
}
RUNS, TRAININGS, SNAPSHOTS = 4, 3, 2


class Tracked:
    """Finished results, and ways to track them."""

    def __init__(self, plan: Plan, results: Path) -> None:
        self.plan, self.results = plan, results

    @property
    def local(self) -> str:
        return f"sqlite:///{self.results / 'mlflow' / 'mlflow.db'}"

    def begin(self, uri: str | None = None) -> subprocess.Popen[str]:
        """`tdbench track`, begun: into the results' own file, or to a server."""
        env = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri or ""}
        command = [preloaded().program("tdbench"), "track", str(self.plan.path), "--results", str(self.results)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def track(self, uri: str | None = None) -> str:
        """`tdbench track`, to its end; what it said."""
        process = self.begin(uri)
        said = "".join(process.communicate())
        assert process.returncode == 0, said
        return said

    def track_here(self) -> None:
        """The same in this process, which saves the seconds that a new one takes to start."""
        track(self.plan, self.results)

    def kill_when(self, reached: Callable[[], bool], uri: str | None = None) -> None:
        """`tdbench track`, killed as soon as something is so."""
        process = self.begin(uri)
        try:
            while not reached():
                assert process.poll() is None, f"ended first: {process.communicate()}"
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def finished(prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Every stage of four runs, of which three are trained, and the report."""
    folder = tmp_path_factory.mktemp("tracking")
    text = TINY.read_text().split("ablations:")[0]
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    folder.joinpath("small.yaml").write_text(text)
    plan, results = load_plan(str(folder / "small.yaml")), results_with_data(folder / "results", prepared)
    for stage in ("train", "sample", "evaluate"):
        runs = [run for run in plan.runs.values() if stage != "train" or run.trained_as is None]
        do_stage(stage, runs, results, keep_finished=False, marker=None)
    for samples in plan.floors["digits"]:
        write_floors(DatasetLayout(results, "digits"), "classifier", plan.libraries("digits"), samples, threads=1)
    found = Findings(plan, results)
    for part in ("comparison", "page"):
        write_part(found, part)
    return Tracked(plan, results)


@pytest.fixture
def results(finished: Tracked, tmp_path: Path) -> Tracked:
    """The same results in a folder of their own, not tracked yet."""
    copy = tmp_path / "my results"
    shutil.copytree(finished.results, copy)
    return Tracked(finished.plan, copy)
