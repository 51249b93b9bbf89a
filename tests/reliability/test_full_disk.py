"""A disk without space: every stage names the file that it could not write, and goes on once there is space."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tdbench.training import loop
from tests.conftest import ROOT
from tests.preloaded import preloaded
from tests.reliability.calls import RUNS, SMALL, finish, leftovers, outcome, reported, stage, stages_before, tdbench
from tests.reliability.disks import Disk

FULL = "No space left on device"


def named(said: str) -> str:
    """The file that the first error names, below the results."""
    found = re.search(r"tdbench: error: \S*/results/(\S+): cannot be written", said)
    assert found is not None and "Traceback" not in said and FULL in said, said
    return found[1]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Have something happen before a step of the next training."""
    real = loop.one_step

    def arrange(step: int, happen: Callable[[], None]) -> None:
        def stepped(*arguments: Any) -> Any:
            if arguments[3] == step:
                monkeypatch.setattr(loop, "one_step", real)
                happen()
            return real(*arguments)

        monkeypatch.setattr(loop, "one_step", stepped)

    return arrange


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "minutes", "file"),
    [(0, 60, "metrics.jsonl"), (4, 60, "snapshots/000000320.safetensors"), (7, 0, "checkpoints/000000000512-")],
)
def test_a_training_on_a_disk_that_fills_up_goes_on_where_it_stood(
    step: int,
    minutes: int,
    file: str,
    disk: Disk,
    stages_done: dict[str, Path],
    tmp_path: Path,
    at_step: Callable[[int, Callable[[], None]], None],
) -> None:
    shutil.copytree(stages_done["data"], disk.results)
    at_step(step, disk.fill)
    patient = tmp_path / "small.yaml"
    patient.write_text(SMALL.read_text().replace("checkpoint_minutes: 0", f"checkpoint_minutes: {minutes}"))
    done = tdbench("train", patient, RUNS[0], "--results", disk.results)
    assert done.code == 2 and named(done.said).startswith(f"small/runs/{RUNS[0]}/{file}")
    disk.free()
    again = stage("train", disk.results)
    assert again.code == 0 and (minutes or f"resumes after step {step} " in again.said), again.said
    assert outcome(disk.results, "train") == outcome(stages_done["train"], "train") and not leftovers(disk.results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "leaves", "suffixes"),
    [
        ("sample", tuple(range(0, 24_577, 4096)), {".npz", ".json", ".png"}),
        ("evaluate", (0,), {".json"}),
        ("report", (0, 1_000_000), {".csv", ".html"}),
    ],
)
def test_a_stage_on_a_full_disk_goes_on_once_there_is_space(
    name: str,
    leaves: tuple[int, ...],
    suffixes: set[str],
    disk: Disk,
    stages_done: dict[str, Path],
    undisturbed: dict[str, object],
    undisturbed_report: dict[str, object],
) -> None:
    shutil.copytree(stages_done[stages_before(name)], disk.results)
    seen = set()
    for leave in leaves:
        disk.fill(leave)
        done = stage(name, disk.results)
        assert done.code == 2 and not leftovers(disk.results)
        seen.add(Path(named(done.said)).suffix)
        disk.free()
    assert seen >= suffixes
    assert stage(name, disk.results).code == 0
    if name == "report":
        assert reported(disk.results) == undisturbed_report
    else:
        finish(disk.results, name)
        assert outcome(disk.results) == undisturbed


def test_data_and_references_on_a_full_disk(disk: Disk, stages_done: dict[str, Path]) -> None:
    shutil.copytree(stages_done["data"], disk.results)
    folder = disk.results / "datasets" / "digits"
    # A log of the work may be there or not.
    kept = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"}
    lost = folder / "reference-classifier-torch-fidelity.npz"
    commands = {
        folder / "archive.zip": ("data", "digits", "--output", folder / "archive.zip"),
        lost: ("reference", "digits", "--results", disk.results),
    }
    lost.unlink()
    disk.fill()
    for path, command in commands.items():
        tdbench(*command).refused(str(path), "cannot be written", FULL)
    disk.free()
    for command in commands.values():
        assert tdbench(*command).code == 0
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".jsonl"}
    # The reference says when it was written; the others came out the same, or were kept.
    assert found.keys() == kept.keys() and all(found[name] == kept[name] for name in kept if name != lost.name)


@pytest.mark.slow
def test_tracking_on_a_full_disk_goes_on_once_there_is_space(disk: Disk, stages_done: dict[str, Path]) -> None:
    shutil.copytree(stages_done["report"], disk.results)

    def track() -> subprocess.CompletedProcess[str]:
        # In a process of its own: MLflow keeps its database open.
        command = [preloaded().program("tdbench"), "track", str(SMALL), "--results", str(disk.results)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    disk.fill(2_000_000)
    done = track()
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("tdbench: error: ")]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(disk.results / "mlflow") in said and (FULL in said or "disk is full" in said)
    disk.free()
    done = track()
    assert done.returncode == 0 and (disk.results / "small" / "mlflow.json").exists(), done.stderr
