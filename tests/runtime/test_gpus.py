"""GPUs are handed out by lock files to real processes; their ids are made up, since a test has none."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, ReportLayout
from tdbench.runtime.gpus import take_gpus, visible_gpus
from tdbench.workflow.batches import Batch
from tdbench.workflow.config import limit_gpus
from tdbench.workflow.flow import ExperimentFlow
from tests.conftest import ROOT, TINY

# Takes argv[1] GPUs, holds them for argv[2] seconds and prints what it had from when to when.
HOLDER = """
import json, os, sys, time
from tdbench.runtime.gpus import take_gpus
with take_gpus(int(sys.argv[1])) as gpus:
    begun = time.monotonic()
    print(json.dumps(gpus), flush=True)
    time.sleep(float(sys.argv[2]))
    seen = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    print(json.dumps({"gpus": seen, "from": begun, "to": time.monotonic(), "torch": "torch" in sys.modules}))
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without GPUs whose slots are no one else's, whatever runs the tests."""
    for name in ("TDBENCH_GPUS", "TDBENCH_GPUS_HELD", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    _nvidia_smi(tmp_path, monkeypatch, "exit 9")


def _nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    tool = folder / "bin" / "nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")


def holder(count: int, seconds: float, gpus: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(count), str(seconds)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "TDBENCH_GPUS": gpus} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def held(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def most_at_once(times: list[dict[str, Any]]) -> int:
    """Most of the intervals that overlap."""
    return max(sum(other["from"] <= one["from"] < other["to"] for other in times) for one in times)


def test_which_gpus_a_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert visible_gpus() == []
    _nvidia_smi(tmp_path, monkeypatch, "echo 0; echo 1; echo 'Unable to talk to a third'; echo 3")
    assert visible_gpus() == ["0", "1", "3"]
    allocated = {"2,5": ["2", "5"], "": [], "-1": [], "0,-1,1": ["0"], "GPU-8f-2, MIG-1/0": ["GPU-8f-2", "MIG-1/0"]}
    for given, ids in allocated.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert visible_gpus() == ids
    for given, ids in {"5": ["5"], "": []}.items():
        monkeypatch.setenv("TDBENCH_GPUS", given)
        assert visible_gpus() == ids
    monkeypatch.setenv("TDBENCH_GPUS", "0,first")
    with pytest.raises(TdbenchError, match="TDBENCH_GPUS: 'first'"):
        visible_gpus()


def test_without_gpus_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    with take_gpus(4) as gpus:
        assert gpus == [] and dict(os.environ) == before


@pytest.mark.slow
def test_the_process_and_its_children_see_what_it_holds_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDBENCH_GPUS", "3,7,9")
    before = dict(os.environ)
    with take_gpus(1) as first, pytest.MonkeyPatch.context() as patch:
        assert first == ["3"] and os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        # A child gets what is held here, and neither waits for another nor takes one.
        assert held(holder(1, 0, "3,7,9"))["gpus"] == ["3"]
        with pytest.raises(TdbenchError, match=r"--processes 2: .* there are 1 here \(3\)"), take_gpus(2):
            pass
        patch.delenv("TDBENCH_GPUS_HELD")
        with take_gpus(2) as others:
            assert others == ["7", "9"]
    assert dict(os.environ) == before
    with take_gpus(0) as none:
        assert none == [] and os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("TDBENCH_GPUS", "")
    with take_gpus(1) as none:
        assert none == [] and os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("TDBENCH_GPUS", "3,7,9")
    with pytest.raises(TdbenchError, match=r"--processes 4: .* there are 3 here"), take_gpus(4):
        pass


@pytest.mark.slow
def test_processes_that_compete_all_get_theirs_and_never_one_twice() -> None:
    """Two of three each, besides those that want one: holding one and waiting for another would never end."""
    processes = [holder(count, 1, "0,1,2") for count in (2, 2, 2, 1, 1, 1)]
    times = [held(process) for process in processes]
    assert sorted(len(one["gpus"]) for one in times) == [1, 1, 1, 2, 2, 2]
    assert not any(one["torch"] for one in times)
    for gpu in "012":
        of_this = [one for one in times if gpu in one["gpus"]]
        assert of_this and most_at_once(of_this) == 1
    assert most_at_once(times) >= 2


@pytest.mark.slow
def test_a_killed_process_frees_its_gpu_and_who_waits_says_so_once() -> None:
    killed = holder(1, 600, "0")
    assert killed.stdout is not None and json.loads(killed.stdout.readline()) == ["0"]
    waiting = holder(1, 0, "0")
    try:
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == "waiting for 1 of 1 GPUs (0) held by your other processes\n"
        time.sleep(1.5)
        assert waiting.poll() is None
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    out, err = waiting.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["gpus"] == ["0"] and err == ""


@pytest.mark.slow
def test_jobs_of_a_cluster_that_call_their_gpus_alike_do_not_wait_for_each_other() -> None:
    first = holder(1, 600, "0", SLURM_JOB_ID="1")
    try:
        assert first.stdout is not None and json.loads(first.stdout.readline()) == ["0"]
        assert held(holder(1, 0, "0", SLURM_JOB_ID="2"))["gpus"] == ["0"]
    finally:
        first.kill()
        first.communicate()


def with_training(run: Run, **training: Any) -> Run:
    return run.model_copy(update={"training": run.training.model_copy(update=training)})


def test_a_job_wants_a_gpu_and_the_threads_of_each_of_its_processes(tiny: Plan) -> None:
    run = tiny.run("edm-td-seed0")
    assert (Batch("b", (run,)).gpus, Batch("b", (run,)).cores) == (1, 1)
    more = Batch("b", (run, with_training(run, processes=4, threads=2)))
    assert (more.gpus, more.cores, more.processes) == (4, 8, 4)
    assert Batch("b", (with_training(run, device="cpu"),)).gpus == 0


def test_the_number_of_processes_is_no_part_of_a_result(tmp_path: Path, tiny: Plan) -> None:
    """Snakemake runs a job again when these settings change, and `--keep-finished` compares them too."""
    path = tmp_path / "more.yaml"
    path.write_text(TINY.read_text().replace("training:\n", "training:\n  processes: 3\n"))
    more = load_plan(str(path))
    assert all(run.training.processes == 3 for run in more.runs.values())
    for name, run in tiny.runs.items():
        assert more.runs[name].training_settings() == run.training_settings()
    flows = [ExperimentFlow(plan, tmp_path) for plan in (tiny, more)]
    assert flows[0].reporting_settings == flows[1].reporting_settings
    path.write_text(path.read_text().replace("processes: 3\n", "processes: 3\n  device: cpu\n"))
    with pytest.raises(TdbenchError, match=r"more.yaml: training: .*processes 3.*threads"):
        load_plan(str(path))


def test_there_is_a_limit_where_snakemake_runs_jobs_itself_and_nobody_set_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def limit(given: dict[str, int], nodes: int | None) -> int | None:
        known = dict(given)
        limit_gpus(
            SimpleNamespace(
                global_resources=known,
                resource_settings=SimpleNamespace(nodes=nodes),
                register_resource=known.__setitem__,
            )
        )
        return known.get("gpu")

    assert limit({}, None) is None
    monkeypatch.setenv("TDBENCH_GPUS", "4,6")
    assert limit({"mem_mb": 1}, None) == 2
    assert limit({"gpu": 5}, None) == 5
    # On a cluster, of whose GPUs this machine knows nothing.
    assert limit({}, 8) is None


# Stands in for the work of a stage: says what it saw from when to when, and leaves what Snakemake waits for.
STAGES = """
import os, time
from tdbench.runtime.files import write_json
from tdbench.records.layout import RunLayout

def do_stage(name, runs, results, keep_finished, marker, world):
    begun = time.time()
    time.sleep(2)
    for run in runs:
        write_json(RunLayout(results, run).made_by(name), {})
    write_json(marker, {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "from": begun, "to": time.time()})
"""


class Project:
    """The project's own workflow and commands, with a stand-in for what a stage does, and its data set made."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder, self.results, self.experiment = folder, folder / "results", folder / "tiny.yaml"
        for name in ("workflow", "tdbench"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", folder)
        (folder / "tdbench" / "workflow" / "stages.py").write_text(STAGES)
        self.experiment.write_text(TINY.read_text().replace("runs_per_job: 6", "runs_per_job: 1"))
        files = DatasetLayout(self.results, "digits")
        files.archive.parent.mkdir(parents=True)
        shutil.copy(archive, files.archive)
        files.summary.write_text("{}")

    def markers(self) -> list[Path]:
        names = ("edm-baseline-seed0", "edm-td-seed0", "edm-td-seed1")
        return [ReportLayout(self.results, "tiny").job(f"digits/{name}", "train") for name in names]

    def snakemake(self, *arguments: str, **environment: str) -> str:
        """What `snakemake --cores 4` says about the trainings."""
        given = (f"experiment={self.experiment}", f"results={self.results}")
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *self.markers(), "--cores", "4", *arguments, "--config", *given],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder)} | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout + done.stderr

    def processes(self, *arguments: str, **environment: str) -> list[int]:
        """With how many processes the trainings would be started."""
        plan = self.snakemake("-n", "-p", *arguments, **environment)
        return [int(number) for number in re.findall(r"tdbench train .* --processes (\d+) ", plan)]


@pytest.mark.slow
def test_snakemake_runs_a_job_a_gpu_each_with_its_own(tmp_path: Path, archive: Path) -> None:
    project = Project(tmp_path / "project", archive)
    # As many processes as the command line says, but no more than there are GPUs.
    assert project.processes("--set-resources", "train:gpu=3", TDBENCH_GPUS="4,6") == [2, 2, 2]
    said = project.snakemake(TDBENCH_GPUS="4,6")
    times = [json.loads(path.read_text()) for path in project.markers()]
    assert {one["gpus"] for one in times} == {"4", "6"} and most_at_once(times) == 2
    assert all(most_at_once([one for one in times if one["gpus"] == gpu]) == 1 for gpu in "46")
    # It was Snakemake that held the others back, not the slots.
    assert re.search(r"Provided resources: gpu=.*\b2\b", said) and "waiting for" not in said
    text = project.experiment.read_text()
    project.experiment.write_text(text.replace("training:\n", "training:\n  processes: 3\n"))
    assert "Nothing to be done" in project.snakemake("-n", TDBENCH_GPUS="4,6,8")
