"""Two processes on one folder: the second is told of the first, and a lock does not outlive its holder."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tdbench.runtime import locks
from tdbench.runtime.locks import Busy, FolderLock, hold_results, hold_run
from tdbench.workflow.flow import Workflow
from tests.conftest import ROOT
from tests.reliability.calls import RUNS, SMALL, finish, outcome, stage, tdbench
from tests.reliability.conftest import After

_HOLDER = """
import sys
from pathlib import Path
from tdbench.runtime.locks import FolderLock
hold = FolderLock(Path(sys.argv[1]), "doing").take()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder."""
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_the_second_is_told_who_holds_it_and_gets_it_when_that_was_killed(tmp_path: Path) -> None:
    with held_by_another(tmp_path) as process:
        with pytest.raises(Busy) as caught:
            hold_results(tmp_path).take(0)
        assert f"another Snakemake is working on these results: process {process.pid} on " in str(caught.value)
        said = str(caught.value)
        assert f"in {ROOT}, since 20" in said and f"`tdbench status {tmp_path}` shows its progress" in said
        assert not hold_results(tmp_path).free
        process.send_signal(signal.SIGKILL)
        process.wait()
        hold = hold_results(tmp_path).take(0)
    assert not hold_results(tmp_path).free
    hold.release()
    assert hold_results(tmp_path).free and not (tmp_path / ".tdbench.json").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_the_file_system_has_no_locks_a_file_serves(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", without)
    with FolderLock(tmp_path, "doing").take(0), pytest.raises(Busy, match=f"doing: process {os.getpid()} on"):
        FolderLock(tmp_path, "doing").take(0)
    assert FolderLock(tmp_path, "doing").free


@pytest.mark.slow
def test_a_second_stage_of_a_run_is_refused_and_disturbs_nothing(
    after: After, undisturbed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.0)
    results = after("data")
    folder = results / "small" / "runs" / RUNS[0]
    with held_by_another(folder) as process:
        for name in ("train", "sample", "evaluate"):
            done = tdbench(name, SMALL, RUNS[0], "--results", results)
            done.refused(f"{folder}: {RUNS[0]}: another process is working on this run: process {process.pid} on ")
        # What the other writes of its progress is left alone.
        assert not (folder / "progress.jsonl").exists()
        # The other run of the same job goes on.
        assert stage("train", results).code == 2
        assert (results / "small" / "runs" / RUNS[1] / "snapshots.json").exists()
    finish(results)
    assert outcome(results) == undisturbed


@pytest.mark.slow
def test_one_that_ends_soon_is_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with held_by_another(tmp_path) as process:
        begun, ending = time.monotonic(), threading.Timer(0.5, process.kill)
        ending.start()
        with hold_run(tmp_path, "digits/a").take():
            assert 0.5 <= time.monotonic() - begun < locks.WAIT_S
    said = capfd.readouterr().err
    assert said.startswith(f"{tmp_path}: digits/a: another process is working on this run: process {process.pid} on ")
    assert said.endswith("; waiting up to 10 s\n") and said.count("\n") == 1


def test_markers_are_left_alone_while_a_snakemake_works_and_in_its_jobs(after: After) -> None:
    """They are removed where the runs' files are gone, which on a shared file system may come to be seen late."""
    results = after("data")
    config = {"experiment": str(SMALL), "results": str(results)}
    marker = results / "small" / "jobs" / "digits" / "comparison" / "edm-1" / "train.json"
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({}))
    Workflow.read(config, main_process=False)
    assert marker.exists()
    with held_by_another(results):
        Workflow.read(config, main_process=True)
        assert marker.exists()
    Workflow.read(config, main_process=True)
    assert not marker.exists()
