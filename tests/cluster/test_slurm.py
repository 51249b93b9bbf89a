"""The workflow on a real SLURM, by the profile as it is shipped, beside the same on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tdbench.records.layout import DatasetLayout
from tests.cluster.slurm import Slurm, why_not_installed
from tests.conftest import ROOT, results_with_data
from tests.reliability.calls import tdbench

pytestmark = pytest.mark.slow

EXPERIMENT = Path(__file__).parent / "small.yaml"
RUNS = ("edm-baseline-seed0", "edm-td-seed0")
STEPS, LONGEST_S = 100, 400
# What a site changes: its queue, and here the seconds until a job is asked after, which are many on a large cluster.
OF_THE_SITE = (
    "--workflow-profile",
    "slurm",
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--latency-wait",
    "10",
)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if reason := why_not_installed():
        pytest.skip(reason)
    with Slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


class Done:
    """What is in a results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results

    def of_run(self, name: str, file: str) -> Any:
        return json.loads((self.results / "small" / "runs" / "digits" / name / file).read_text())

    def scores(self) -> list[tuple[Any, ...]]:
        """All that was scored, to the last bit."""
        rows = [(name, row) for name in RUNS for row in self.of_run(name, "scores.json")["scores"]]
        return [(name, *sorted((k, v) for k, v in row.items() if k != "seconds")) for name, row in rows]

    def weights(self) -> list[str]:
        return [entry["sha256"] for name in RUNS for entry in self.of_run(name, "snapshots.json")["snapshots"]]


class Both(NamedTuple):
    """The same on the cluster, disturbed, and on this machine."""

    there: Done
    here: Done
    cancelled: str
    """Id of the job that was cancelled."""


def _command(results: Path, *options: str) -> list[str]:
    target = results / "small" / "jobs" / "digits" / "comparison" / "edm-1" / "evaluate.json"
    config = ("--config", f"experiment={EXPERIMENT}", f"results={results}")
    return [sys.executable, "-m", "snakemake", str(target), *options, *config]


def _called(slurm: Slurm, results: Path, log: Path) -> subprocess.Popen[bytes]:
    """A Snakemake that is asked for the last stage of the one batch of runs."""
    options = (*OF_THE_SITE, "--default-resources", *_resources(), "--slurm-logdir", str(log.parent / "logs"))
    command = _command(results, *options)
    with log.open("w") as file:
        return subprocess.Popen(
            # It ends with this process, however that ends.
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=ROOT,
            env=slurm.environment | {"PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=file,
        )


def _cancelled_on_the_way(slurm: Slurm, results: Path, log: Path) -> str:
    """End the job that trains, once it is under way; its id."""
    metrics = results / "small" / "runs" / "digits" / RUNS[0] / "metrics.jsonl"
    slurm.wait(lambda: metrics.is_file() and metrics.stat().st_size > 0, f"it trains\n{log.read_text()}", LONGEST_S)
    (training,) = (id_ for id_, job in slurm.jobs().items() if job["Comment"].startswith("rule_train"))
    slurm.call("scancel", training)
    return training


@pytest.fixture(scope="module")
def both(slurm: Slurm, prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("calls")
    there, here, log = folder / "my results", folder / "here", folder / "log"
    for results in (there, here):
        results_with_data(results, prepared)
    snakemake = _called(slurm, there, log)
    try:
        cancelled = _cancelled_on_the_way(slurm, there, log)
        # The commands of the jobs, in this process meanwhile.
        for stage in ("train", "sample", "evaluate"):
            done = tdbench(stage, EXPERIMENT, *(f"digits/{run}" for run in RUNS), "--results", here)
            assert done.code == 0, done.said
        assert snakemake.wait(LONGEST_S) == 0, log.read_text()[-5000:]
        yield Both(Done(there), Done(here), cancelled)
    finally:
        snakemake.kill()


def _resources() -> tuple[str, ...]:
    """The profile's own, with a queue."""
    from ruamel.yaml import YAML

    profile = YAML(typ="safe", pure=True).load(ROOT / "workflow" / "profiles" / "slurm" / "config.yaml")
    resources = profile["default-resources"] | {"slurm_partition": "main"}
    return tuple(f"{name}={value}" for name, value in resources.items())


def test_scores_and_weights_are_those_of_a_local_run_to_the_bit(both: Both) -> None:
    there, here, _ = both
    assert len(here.scores()) > 10 and there.scores() == here.scores()
    assert there.weights() == here.weights()


def test_a_cancelled_training_goes_on_from_its_checkpoint_in_another_job(slurm: Slurm, both: Both) -> None:
    there, here, cancelled = both
    assert slurm.jobs()[cancelled]["JobState"] == "CANCELLED"
    parts = [there.of_run(name, "run.json")["parts"] for name in RUNS]
    begun = [part["from_step"] for run in parts for part in run]
    assert len(begun) == 3 and begun.count(0) == 2 and 0 < max(begun) < STEPS
    assert all(len(here.of_run(name, "run.json")["parts"]) == 1 for name in RUNS)


def test_jobs_get_what_the_rules_ask_for_and_more_at_the_second_attempt(slurm: Slurm, both: Both) -> None:
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


def test_what_was_asked_for_is_no_part_of_a_result(both: Both) -> None:
    """On this machine, with other figures, nothing is left to do."""
    others = ("train:mem_mb=99000", "train:runtime=7", "sample:gpu=0", "evaluate:processes=2")
    done = subprocess.run(
        _command(both.there.results, "-n", "--cores", "2", "--set-resources", *others),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr, done.stdout[-3000:]


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
