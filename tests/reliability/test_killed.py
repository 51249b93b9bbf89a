"""SIGKILL in the middle of a stage, and what reaches the disk in which order."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tdbench.runtime import files
from tdbench.runtime.files import write_text
from tests.reliability.calls import begun, finish, leftovers, outcome, reported, stage, stages_before
from tests.reliability.conftest import After

KILLS = 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sample", "evaluate", "report"])
def test_a_stage_killed_at_random_moments_goes_on_to_the_same_numbers(
    name: str, after: After, undisturbed: dict[str, object], undisturbed_report: dict[str, object]
) -> None:
    results, source = after(stages_before(name)), random.Random(name)
    begun_at = time.perf_counter()
    while (child := begun(name, results)).is_alive() and not any(results.rglob(_FIRST[name])):
        time.sleep(0.01)  # the first kill comes when something has been written
    length, kills = 1 + time.perf_counter() - begun_at, 0
    while kills < KILLS:
        if child.exitcode is None:
            # Not os.kill: the child may have ended since, and the fork server has taken its exit status.
            child.kill()
            kills += 1
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        child = begun(name, results)
        child.join(timeout=source.uniform(0, length) if kills < KILLS else None)
    child.join()
    assert child.exitcode == 0
    if name == "report":
        assert reported(results) == undisturbed_report
    else:
        finish(results, name)
        assert outcome(results) == undisturbed and not leftovers(results)


_FIRST = {"sample": "steps-*.npz", "evaluate": ".tdbench.json", "report": "comparison.csv"}


@pytest.mark.slow
def test_what_a_killed_process_had_half_written_is_taken_away(after: After) -> None:
    results = after("train")
    run = results / "small" / "runs" / "digits" / "edm-td-seed0"
    left = [run / "samples" / "000000640" / ".steps-002.12-ab.tmp.npz", run / ".samples.12-ab.tmp.json"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert stage("sample", results).code == 0 and not leftovers(results)


def test_content_is_on_the_disk_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a power loss leaves the old file or the new one, never a name without its content."""
    order: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(number: int) -> None:
        order.append(f"sync {Path(f'/proc/self/fd/{number}').readlink().name.partition('.tmp')[1] or 'folder'}")
        real_sync(number)

    def replace(path: Path, target: Path) -> Path:
        order.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(files.os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_text(tmp_path / "scores.json", "{}")
    assert order == ["sync .tmp", "rename", "sync folder"]
