"""The real Snakemake: two at once, killed, interrupted, and after a clock was put back."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.preloaded import preloaded
from tests.reliability.calls import RUNS, SMALL, outcome
from tests.reliability.conftest import After

PATIENCE_S = 300
OWN_PYTHON = (sys.executable, "-m", "snakemake")


class Snakemake:
    """Calls that work on one results folder, each from a working folder of its own unless it is named."""

    def __init__(self, results: Path, folder: Path) -> None:
        self.results, self._folder = results, folder
        self.target = results / "small" / "jobs" / "digits" / "comparison" / "edm-1" / "evaluate.json"
        self._processes: list[subprocess.Popen[str]] = []

    def begin(self, where: str, *options: str, program: Sequence[str] = OWN_PYTHON) -> subprocess.Popen[str]:
        """Start one in a group of its own, as a terminal does; by default its jobs are its children."""
        folder = self._folder / where
        folder.mkdir(exist_ok=True)
        options = options or ("--cores", "1", str(self.target))
        command = [
            *program,
            "--snakefile",
            str(ROOT / "Snakefile"),
            *options,
            "--config",
            f"experiment={SMALL}",
            f"results={self.results}",
        ]
        process = subprocess.Popen(
            command,
            cwd=folder,
            start_new_session=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Where the tests run in the background their children would not hear of Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._processes.append(process)
        return process

    def call(self, where: str, *options: str) -> tuple[int, str]:
        """Its exit code and what it said."""
        process = self.begin(where, *options, program=[preloaded().program("snakemake")])
        said = process.communicate(timeout=PATIENCE_S)[0]
        return process.returncode, said

    def end_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                for each in family(process):
                    each.kill()
                process.wait()


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """A Snakemake and its jobs, which are in groups of their own."""
    main = psutil.Process(process.pid)
    return [main, *main.children(recursive=True)]


def wait_until(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    while not there():
        assert process.poll() is None and time.monotonic() - begun < PATIENCE_S, process.communicate()[0]
        time.sleep(0.02)


@pytest.fixture
def snakemake(after: After, tmp_path: Path):
    calls = Snakemake(after("data"), tmp_path)
    yield calls
    calls.end_all()


@pytest.mark.slow
def test_two_at_once_killed_and_interrupted_end_with_the_same_numbers(
    snakemake: Snakemake, undisturbed: dict[str, object]
) -> None:
    run = snakemake.results / "small" / "runs" / RUNS[1]
    first = snakemake.begin("first")
    wait_until(lambda: list(run.glob("checkpoints/0*.safetensors")), first)
    owner = json.loads((snakemake.results / ".tdbench.json").read_text())
    processes = family(first)
    for process in reversed(processes):
        process.suspend()

    for folder in ("second", "first"):
        code, said = snakemake.call(folder)
        (line,) = [line for line in said.splitlines() if line.startswith("tdbench: error: ")]
        assert code == 2 and "Traceback" not in said and "localrule" not in said
        assert f"{snakemake.results}: another Snakemake is working on these results: process {owner['pid']} on " in line
        assert owner["since"] in line and f"in {snakemake._folder / 'first'}, since" in line and "wait until" in line
    code, said = snakemake.call("second", "-n", str(snakemake.target))
    assert code == 0 and "another Snakemake" not in said, said

    # Snakemake and its jobs die; the next one needs no --unlock, and takes up the training.
    for process in processes:
        process.kill()
    first.wait()
    third = snakemake.begin("first")
    wait_until(lambda: list(run.glob("samples/*/*.npz")), third)
    os.killpg(third.pid, signal.SIGINT)
    said = third.communicate(timeout=PATIENCE_S)[0]
    assert third.returncode not in (0, None) and "resumes after step" in said and "Traceback" not in said, said

    # The clock was a day ahead until now: what was made then is newer than all that will be.
    tomorrow = time.time() + 86400
    for path in (snakemake.target.with_name("train.json"), *run.parent.rglob("snapshots.json")):
        os.utime(path, (tomorrow, tomorrow))
    code, said = snakemake.call("second")
    assert code == 0 and "localrule train" not in said, said
    assert outcome(snakemake.results) == undisturbed
    code, said = snakemake.call("second")
    assert code == 0 and "Nothing to be done" in said, said
