"""A clock put back or forward while work goes on: nothing crashes, repeats for ever or tells a negative time."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.schema import Trained
from tdbench.reporting.crate.activities import training
from tdbench.reporting.status import run as stand
from tdbench.reporting.status.experiment import read_status
from tdbench.runtime import progress_log
from tdbench.runtime.files import json_lines
from tdbench.runtime.progress import progress
from tdbench.runtime.progress_log import ProgressLog, read_log
from tdbench.training import loop
from tdbench.workflow.flow import Workflow
from tests.reliability.calls import RUNS, SMALL, finish, outcome, stage
from tests.reliability.conftest import After

HOUR, DAY = 3600.0, 86400.0


class Clock:
    """The clock of the day, which somebody puts forward or back; what only counts seconds goes on as it does."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return _REAL() + self.ahead


_REAL = time.time


@contextmanager
def clock_of_the_day() -> Iterator[Clock]:
    """Whatever asks for the time of the day gets it from a clock that can be put."""
    clock = Clock()
    for module in (progress_log, stand):
        assert module.time is time
    modules = SimpleNamespace(**vars(time) | {"time": clock.time})
    with (
        patch.object(time, "time", clock.time),
        patch.object(progress_log, "time", modules),
        patch.object(stand, "time", modules),
    ):
        yield clock


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-HOUR, DAY])
def test_a_training_ends_with_the_same_numbers_and_tells_no_negative_time(
    jump: float, after: After, undisturbed: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, real = after("data"), loop.one_step
    with clock_of_the_day() as clock:

        def stepped(*arguments: Any) -> Any:
            clock.ahead = jump if arguments[3] >= 5 else 0.0
            if arguments[3] == 6:
                seen.extend(stands())
            return real(*arguments)

        def stands() -> list[stand.RunStatus]:
            return [found for experiment in read_status(results) for found in experiment.statuses]

        seen: list[stand.RunStatus] = []
        monkeypatch.setattr(loop, "one_step", stepped)
        monkeypatch.setattr(progress_log, "FIRST_INTERVAL_S", 0.01)
        assert stage("train", results).code == 0
        monkeypatch.undo()
        finish(results, "sample")
        seen.extend(stands())
    assert outcome(results) == undisturbed and [found.state for found in seen[-2:]] == ["done", "done"]
    for found in seen:
        assert found.seconds_left is None or found.seconds_left >= 0
        assert found.rate is None or found.rate > 0
        assert found.state not in ("failed", "damaged", "stopped")
    for run in RUNS:
        for line in json_lines(results / "small" / "runs" / run / "progress.jsonl", last_bytes=None):
            assert line["seconds"] >= 0 and (line["rate"] is None or line["rate"] > 0)


@pytest.mark.parametrize("jump", [-HOUR, DAY])
def test_the_bar_goes_on(jump: float, capsys: pytest.CaptureFixture[str]) -> None:
    with clock_of_the_day() as clock, progress("work", 4, "img") as bar:
        bar.mininterval = 0.0
        bar.update(1)
        clock.ahead = jump
        for _ in range(3):
            time.sleep(0.01)
            bar.update(1)
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "%" in line]
    assert [line.split()[3].partition("/")[0] for line in lines if " 25 %" in line or " 50 %" in line] == ["1", "2"]
    assert all("-" not in line and "24:00" not in line and "1:00:00" not in line for line in lines)


def test_a_failure_is_noted_once_with_its_counts_though_the_clock_was_put_back(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    with clock_of_the_day() as clock:
        log = ProgressLog(path, "train")
        with suppress(TdbenchError), progress("work", 10, "img", log=ProgressLog(path, "train")) as bar:
            bar.update(3)
            clock.ahead = -HOUR
            raise TdbenchError("a mistake")
        log.failed(TdbenchError("a mistake"))
    failed = [line for line in json_lines(path) if line["state"] == "failed"]
    assert [(line["done"], line["error"]) for line in failed] == [(3, "a mistake")]


def test_files_from_the_future_come_into_the_present(after: After, capsys: pytest.CaptureFixture[str]) -> None:
    """Snakemake would refuse whatever is made from them, as older than its input, until that time has come."""
    results = after("evaluate")
    run, jobs = results / "small" / "runs" / RUNS[0], results / "small" / "jobs" / "digits" / "comparison" / "edm-1"
    jobs.mkdir(parents=True)
    for made in ("train", "sample", "evaluate"):
        (jobs / f"{made}.json").write_text("{}")
    begun = time.time()
    future = (results / "datasets" / "digits" / "archive.zip", jobs / "train.json", run / "scores.json")
    for path in future:
        os.utime(path, (begun + DAY, begun + DAY))
    config = {"experiment": str(SMALL), "results": str(results)}
    Workflow.read(config, main_process=True)
    assert "its modification time was in the future, as was that of 2 more files; set to now" in capsys.readouterr().err
    found = {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in jobs.iterdir()}
    assert all(begun - 5 <= path.stat().st_mtime <= time.time() + 1 for path in future)
    # What was made by hand, by the clock then, is followed by its marker, once.
    assert "done_by_hand_at" in found["evaluate.json"][1] and found["train.json"][1] == "{}"
    Workflow.read(config, main_process=True)
    assert {path.name: (path.stat().st_mtime_ns, path.read_text()) for path in jobs.iterdir()} == found
    assert "future" not in capsys.readouterr().err


def test_a_crate_has_no_end_before_its_begin(after: After) -> None:
    results, run = after("train"), _run(RUNS[0])
    layout = RunLayout(results, run)
    content, log = json.loads(layout.settings.read_text()), read_log(layout.progress)
    ended = training(run, log, Trained.model_validate(content), [], []).ended
    assert ended is not None and ended >= content["parts"][0]["provenance"]["written_at"]
    content["parts"][0]["provenance"]["written_at"] = "2999-01-01T00:00:00+00:00"
    assert training(run, log, Trained.model_validate(content), [], []).ended is None


def _run(name: str) -> Run:
    return load_plan(str(SMALL)).run(name)
