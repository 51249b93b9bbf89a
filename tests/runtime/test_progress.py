"""The log of a stage: what it says of work that goes on or ends, how long it grows, and that it harms nothing."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tdbench.errors import TdbenchError
from tdbench.runtime import progress_log
from tdbench.runtime.files import json_lines
from tdbench.runtime.progress import progress
from tdbench.runtime.progress_log import ProgressLog, interval


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "progress.jsonl"


def work(path: Path, stage: str = "train", n: int = 3, initial: int = 0, error: BaseException | None = None) -> None:
    with progress("work", 10, "img", initial=initial, log=ProgressLog(path, stage)) as bar:
        for _ in range(n):
            bar.update(1)
        if error is not None:
            raise error


def test_a_stage_says_how_it_began_and_how_it_ended(path: Path) -> None:
    work(path, n=10)
    first, last = json_lines(path)
    assert (first["state"], first["done"], first["rate"]) == ("running", 0, None)
    assert (last["state"], last["done"], last["total"], last["unit"]) == ("finished", 10, 10, "img")
    assert last["rate"] > 0 and abs(last["epoch"] - time.time()) < 60 and last["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (TdbenchError("a mistake", "one more"), "failed", "a mistake"),
        (ValueError("bad\nmore"), "failed", "ValueError: bad"),
        (RuntimeError(), "failed", "RuntimeError"),
        (KeyboardInterrupt(), "stopped", None),
        (SystemExit(1), "stopped", None),
    ],
)
def test_work_that_is_cut_short(path: Path, error: BaseException, state: str, said: str | None) -> None:
    with pytest.raises(type(error)):
        work(path, error=error)
    last = json_lines(path)[-1]
    assert (last["state"], last["done"], last.get("error")) == (state, 3, said)


def test_a_stage_drops_its_own_older_lines_and_torn_ones_only(path: Path) -> None:
    work(path, "train")
    work(path, "sample")
    with path.open("a") as file:
        file.write('{"stage": "sam')
    work(path, "train")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["stage"], line["state"]) for line in lines] == [
        ("sample", "running"),
        ("sample", "finished"),
        ("train", "running"),
        ("train", "finished"),
    ]


def test_what_was_done_before_counts_in_the_bar_and_not_in_the_rate(
    path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("work", 1000, "img", initial=900, log=ProgressLog(path, "train")) as bar:
        time.sleep(0.2)
        bar.skip(50)
        bar.update(10)
    first, last = json_lines(path)
    assert first["done"] == 900 and (last["done"], last["initial"]) == (960, 950)
    assert 10 < last["rate"] < 50
    assert bar.format_dict["rate"] is None or bar.format_dict["rate"] < 50
    assert " 96 % 960/1000 img" in capsys.readouterr().err


def test_a_rate_is_the_recent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_log.time, "monotonic", lambda: now)
    rate, done = progress_log._Rate(), 0
    assert rate.value is None
    for speed in (10, 100):
        for _ in range(20):
            now, done = now + 5, done + 5 * speed
            rate.see(done)
        assert rate.value == pytest.approx(speed)
    now += 3600  # it stands still
    assert rate.value is not None and rate.value < 2


def test_a_week_makes_less_than_a_megabyte(path: Path) -> None:
    work(path)
    longest = max(map(len, path.read_text().splitlines())) + 40
    elapsed, size = 0.0, 0
    while elapsed < 7 * 86_400:
        size += longest
        elapsed += interval(elapsed)
    assert size < 1_000_000
    assert interval(60) <= 5 and interval(3600) == 60


def test_lines_come_while_a_single_step_takes_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "FIRST_INTERVAL_S", 0.05)
    with progress("work", 2, "set", log=ProgressLog(path, "evaluate")) as bar:
        time.sleep(0.4)
        bar.update(1)
        assert 3 <= len(json_lines(path)) <= 10


def test_a_log_that_cannot_be_written_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    work(tmp_path / "file" / "progress.jsonl")
    path, real, full = tmp_path / "progress.jsonl", Path.open, True

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    def opened(self: Path, *args: Any, **kwargs: Any) -> Any:
        return Full() if full and self == path and "a" in args else real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    work(path)
    assert not path.exists()
    log = ProgressLog(path, "train")
    with progress("work", 10, "img", log=log):
        path.write_text('{"torn')  # as a disk that fills up leaves it
        full = False
    assert [line["state"] for line in json_lines(path)] == ["finished"]


def test_a_failure_outside_the_counted_work_is_noted_once(path: Path) -> None:
    log = ProgressLog(path, "train")
    log.failed(TdbenchError("archive.zip: no such file"))
    log.failed(TdbenchError("again"))
    (line,) = json_lines(path)
    assert (line["state"], line["error"], line["done"]) == ("failed", "archive.zip: no such file", None)
    later = ProgressLog(path, "train")
    with progress("work", 10, "img", log=later) as bar:
        bar.update(10)
    later.failed(OSError(28, "No space left on device"))
    last = json_lines(path)[-1]
    assert (last["state"], last["done"]) == ("failed", 10) and "No space left" in last["error"]


def test_the_end_of_a_long_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(100_000)) + '[1]\n{"torn')
    lines = json_lines(path)
    assert lines[-1] == {"n": 99_999} and len(lines) < 10_000 and len(json_lines(path, None)) == 100_000
    assert json_lines(tmp_path / "none") == []
