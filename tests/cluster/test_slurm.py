"""The workflow on a real SLURM, by the profile as it is shipped, beside the same on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tdbench.layout import DatasetLayout
from tests.cluster.slurm import Slurm, why_not_installed
from tests.conftest import ROOT, results_with_data

EXPERIMENT = Path(__file__).parent / "small.yaml"
RUNS = ("edm-baseline-seed0", "edm-td-seed0")
STEPS, LONGEST_S = 200, 400
# What a site changes: its queue, and here the seconds until a job is asked after, which are many on a large cluster.
OF_THE_SITE = (
    "--workflow-profile", "slurm", "--slurm-init-seconds-before-status-checks", "6", "--latency-wait", "10",
)  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if reason := why_not_installed():
        pytest.skip(reason)
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


class Call:
    """A Snakemake on a results folder of its own, which has the data set."""

    def __init__(self, folder: Path, prepared: DatasetLayout, env: dict[str, str], *options: str) -> None:
        folder.mkdir()
        self.results, self.log = results_with_data(folder / "my results", prepared), folder / "log"
        # What is asked for: the last stage of the one batch of runs.
        target = self.results / "small" / "jobs" / "digits" / "comparison" / "edm-1" / "evaluate.json"
        config = ("--config", f"experiment={EXPERIMENT}", f"results={self.results}")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "snakemake", *options, str(target), *config],
                cwd=ROOT, env=env | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self) -> None:
        """Wait for it; what it did not end in time is ended."""
        try:
            assert self.process.wait(LONGEST_S) == 0, self.log.read_text()[-5000:]
        finally:
            self.process.kill()

    def of_run(self, name: str, file: str) -> Any:
        return json.loads((self.results / "small" / "runs" / "digits" / name / file).read_text())

    def scores(self) -> list[tuple[Any, ...]]:
        """All that was scored, to the last bit."""
        rows = [(name, row) for name in RUNS for row in self.of_run(name, "scores.json")["scores"]]
        return [(name, *sorted((k, v) for k, v in row.items() if k != "seconds")) for name, row in rows]

    def weights(self) -> list[str]:
        return [entry["sha256"] for name in RUNS for entry in self.of_run(name, "snapshots.json")["snapshots"]]


def _cancelled_on_the_way(slurm: Slurm, call: Call) -> str:
    """End the job that trains, once it is well under way; its id."""
    progress = call.results / "small" / "runs" / "digits" / RUNS[0] / "metrics.jsonl"
    slurm.wait(lambda: progress.is_file() and progress.stat().st_size > 0, f"it trains\n{call.log.read_text()}", 200)
    (training,) = (id_ for id_, job in slurm.jobs().items() if job["Comment"].startswith("rule_train"))
    slurm.call("scancel", training)
    return training


@pytest.fixture(scope="module")
def calls(
    slurm: Slurm, prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Call, Call, str]]:
    """On the cluster, with the training cancelled on the way, and on this machine, undisturbed."""
    folder = tmp_path_factory.mktemp("calls")
    options = (*OF_THE_SITE, "--default-resources", *_resources(), "--slurm-logdir", str(folder / "logs"))
    there = Call(folder / "there", prepared, slurm.environment, *options)
    here = None
    try:
        cancelled = _cancelled_on_the_way(slurm, there)
        here = Call(folder / "here", prepared, dict(os.environ), "--cores", "1")
        here.end()
        there.end()
        yield there, here, cancelled
    finally:
        for call in filter(None, (there, here)):
            call.process.kill()


def _resources() -> tuple[str, ...]:
    """The profile's own, with a queue."""
    from ruamel.yaml import YAML

    profile = YAML(typ="safe", pure=True).load(ROOT / "workflow" / "profiles" / "slurm" / "config.yaml")
    resources = profile["default-resources"] | {"slurm_partition": "main"}
    return tuple(f"{name}={value}" for name, value in resources.items())


def test_scores_and_weights_are_those_of_a_local_run_to_the_bit(calls: tuple[Call, Call, str]) -> None:
    there, here, _ = calls
    assert len(here.scores()) > 10 and there.scores() == here.scores()
    assert there.weights() == here.weights()


def test_a_cancelled_training_goes_on_from_its_checkpoint_in_another_job(
    slurm: Slurm, calls: tuple[Call, Call, str]
) -> None:
    there, here, cancelled = calls
    assert slurm.jobs()[cancelled]["JobState"] == "CANCELLED"
    parts = [there.of_run(name, "run.json")["parts"] for name in RUNS]
    begun = [part["from_step"] for run in parts for part in run]
    assert len(begun) == 3 and begun.count(0) == 2 and 0 < max(begun) < STEPS
    assert all(len(here.of_run(name, "run.json")["parts"]) == 1 for name in RUNS)


def test_jobs_get_what_the_rules_ask_for_and_more_at_the_second_attempt(
    slurm: Slurm, calls: tuple[Call, Call, str]
) -> None:
    asked: dict[str, list[dict[str, str]]] = {}
    for _, job in sorted(slurm.jobs().items(), key=lambda item: int(item[0])):
        asked.setdefault(job["Comment"].split("_wildcards_")[0], []).append(job)
    assert {rule: len(jobs) for rule, jobs in asked.items()} == {"rule_train": 2, "rule_sample": 1, "rule_evaluate": 1}
    for job in (job for jobs in asked.values() for job in jobs):
        assert (job["Partition"], job["NumNodes"], job["NumCPUs"], job["Requeue"]) == ("main", "1", "1", "1")
    first, second = asked["rule_train"]
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:15:00", "00:30:00")
    assert ("mem=6500M" in first["TRES"], "mem=13000M" in second["TRES"]) == (True, True)
    assert first["TresPerJob"] == second["TresPerJob"] == asked["rule_sample"][0]["TresPerJob"] == "gres:gpu:1"
    assert "TresPerJob" not in asked["rule_evaluate"][0]


def test_a_job_of_two_gpus_is_one_task_on_one_machine(slurm: Slurm, tmp_path: Path) -> None:
    """As the plugin submits a training of several processes, which tdbench itself starts."""
    said = tmp_path / "said"
    script = 'echo "$CUDA_VISIBLE_DEVICES $SLURM_TASKS_PER_NODE"'
    options = ("--gpus=2", "--nodes=1", "--cpus-per-task=2", "--mem=100", "-o", str(said))
    slurm.call("sbatch", "--wait", *options, "--wrap", script)
    end = time.monotonic() + 10
    while not said.read_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert said.read_text() == "0,1 1\n"
