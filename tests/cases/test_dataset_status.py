"""`tdbench status` knows the stages of data sets: what is done, waits, works, or has failed."""

import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tdbench.experiment.load import load_plan
from tdbench.records.layout import DatasetLayout
from tdbench.reporting.status.plan_file import write_plan_file
from tests.cases.calls import tdbench
from tests.conftest import TINY


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_plan_file(load_plan(str(TINY)), tmp_path / "r")
    return tmp_path / "r"


def line(results: Path) -> str:
    """What is said of the data set."""
    out = " ".join(tdbench("status", "r", cwd=results.parent).out.split())
    return "data set " + out.partition("data set ")[2]


def stages(results: Path) -> list[dict[str, Any]]:
    content = json.loads(tdbench("status", "r", "--json", cwd=results.parent).out)
    (dataset,) = content["experiments"][0]["datasets"]
    assert dataset["name"] == "digits"
    return list(dataset["stages"])


def log(results: Path, **changes: Any) -> None:
    """A line that a stage leaves while it works."""
    content = {
        "epoch": time.time(),
        "stage": "reference",
        "state": "running",
        "done": 900,
        "total": 3594,
        "unit": "img",
        "rate": 100.0,
        "every_s": 5.0,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    } | changes
    path = DatasetLayout(results, "digits").progress
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) + "\n")


def test_before_anything_is_done(results: Path) -> None:
    assert line(results).startswith("data set digits: data waiting; classifier waiting; reference waiting")


def test_one_after_the_other(results: Path, prepared: DatasetLayout) -> None:
    files = DatasetLayout(results, "digits")
    files.folder.mkdir(parents=True)
    for path in (prepared.archive, prepared.summary):
        shutil.copy(path, files.folder)
    assert line(results).startswith("data set digits: data done; classifier waiting; reference waiting")
    shutil.copytree(prepared.folder, files.folder, dirs_exist_ok=True)
    assert line(results).startswith("data set digits: data, classifier, reference done")
    assert [stage["state"] for stage in stages(results)] == ["done"] * 3


def test_at_work_with_the_time_left(results: Path) -> None:
    log(results)
    assert "reference at work, 25 %, about 27 s left" in line(results)
    assert stages(results)[-1]["seconds_left"] == pytest.approx(26.94)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "failed", "error": "1 image; needs 2"}, "reference failed, 25 % (1 image; needs 2)"),
        ({"state": "stopped"}, "reference stopped, 25 % (interrupted at "),
        ({"pid": 2**22 + 1}, "reference stopped, 25 % (process 4194305 is gone"),
        ({"host": "other", "epoch": time.time() - 1000}, "reference silent, 25 % (no update since "),
        ({"done": "damaged", "rate": None}, "reference at work all runs"),
    ],
)
def test_what_may_go_wrong(changes: dict[str, Any], said: str, results: Path) -> None:
    log(results, **changes)
    assert said in line(results) + ";"


def test_the_commands_leave_what_is_read(results: Path, prepared: DatasetLayout) -> None:
    """A classifier that cannot be trained: its failure is what status tells."""
    files = DatasetLayout(results, "digits")
    files.folder.mkdir(parents=True)
    shutil.copy(prepared.archive, files.archive)
    shutil.copy(prepared.summary, files.summary)
    assert tdbench("data", "archive", "--path", files.archive, "-o", files.archive, cwd=results.parent).code == 0
    called = tdbench("reference", "digits", "--features", "classifier", "--results", "r", cwd=results.parent)
    assert called.code == 2
    assert "reference failed (r/datasets/digits/classifier.json: no such file" in line(results)


def test_a_plan_of_an_earlier_version_names_none(results: Path) -> None:
    path = results / "tiny" / "plan.json"
    content = json.loads(path.read_text())
    del content["datasets"]
    path.write_text(json.dumps(content))
    called = tdbench("status", "r", cwd=results.parent)
    assert called.code == 0 and "data set" not in called.out
