"""The status of one run, from its files only, without importing the libraries of the stages.

The log (`tdbench.runtime.progress_log`) shows what a stage is doing; the file that a stage writes last shows that it is
done.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tdbench.records.layout import RunLayout
from tdbench.records.stages import STAGES, following
from tdbench.reporting.status.expected import Expected
from tdbench.reporting.status.work import Left
from tdbench.runtime.files import json_lines, parse_json
from tdbench.runtime.progress_log import LogLine, number, read_log

AT_WORK = tuple(stage.doing for stage in STAGES.values())
TROUBLE = ("failed", "stopped", "silent", "damaged")
TAIL = 65_536
"""Number of bytes at the end of a log that are read; enough for the status of its run."""
SILENT_AFTER_S = 60.0
"""A log is stale after this time or three of its intervals, whichever is longer; shared file systems lag."""


@dataclass(frozen=True)
class RunStatus:
    """The status of a run.

    Attributes
    ----------
    state : str
        ``waiting`` for ``stage``, ``training``, ``sampling``, ``scoring``, ``done``, or one of `TROUBLE`.
    stage : str
        The stage that is running, was interrupted, or comes next.
    rate : float or None
        Recent rate, ``unit`` per second.
    seconds_left : float or None
        Seconds to the end of the stage.
    since : float or None
        Time of its last update, in seconds since the epoch.
    """

    run: Expected
    state: str
    stage: str
    done: float | None = None
    total: float | None = None
    unit: str | None = None
    rate: float | None = None
    seconds_left: float | None = None
    since: float | None = None
    note: str = ""


def read_run_status(results: Path, run: Expected) -> RunStatus:
    """The current status of a run; unreadable files become a note, never an error."""
    return find_stand(results, run, read_log(RunLayout(results, run).progress, TAIL), amount)


def find_stand(
    results: Path, run: Expected, lines: list[LogLine], done_by: Callable[[RunLayout, str], int | None]
) -> RunStatus:
    """The status of a run from the lines of its log and the amount that each stage has done.

    Parameters
    ----------
    done_by : callable
        As `amount`.
    """
    layout = RunLayout(results, run)
    last = last_line(lines)
    note = ""
    if last is None and _size(layout.progress):
        note = f"{layout.progress.name}: has no readable line"
    if last is not None and last.state != "finished":
        made = _time(layout.made_by(last.stage))
        if made is None or made < (last.epoch or 0):
            return _from_line(run, last)
    try:
        status = _from_files(layout, run, last, done_by)
    except _Damaged as error:
        return RunStatus(run, "damaged", error.stage, note=f"{error.path.name}: {error}")
    return replace(status, note=status.note or note)


def last_line(lines: list[LogLine]) -> LogLine | None:
    """The last valid line of a log."""
    known = (line for line in reversed(lines) if line.stage in STAGES and line.state and line.epoch is not None)
    return next(known, None)


def _from_line(run: Expected, line: LogLine) -> RunStatus:
    """The status from the log of a stage that is running or was interrupted."""
    stage = line.stage
    status = RunStatus(run, STAGES[stage].doing, stage, line.done, line.total, line.unit, since=line.epoch)
    state, note = sign_of_life(line)
    if state != "at work":
        return replace(status, state=state, note=note)
    left = _seconds_left(run, stage, line.done, line.total, line.rate)
    return replace(status, rate=line.rate, seconds_left=left)


def sign_of_life(line: LogLine) -> tuple[str, str]:
    """State and note from the last line of the log of unfinished work: ``at work``, or why it is not."""
    since = line.epoch or 0.0
    if line.state == "stopped":
        return "stopped", f"interrupted at {clock(since)}"
    if line.state == "failed":
        return "failed", line.error
    if line.host == socket.gethostname() and not _lives(line.pid):
        return "stopped", f"process {line.pid} is gone, last seen {clock(since)}"
    if time.time() - since > max(SILENT_AFTER_S, 3 * line.every_s):
        return "silent", f"no update since {clock(since)} (on {line.host})"
    return "at work", ""


def _seconds_left(
    run: Expected, stage: str, done: float | None, total: float | None, rate: float | None
) -> float | None:
    if done is None or total is None or not rate:
        return None
    left: Left | None = resolve_name(STAGES[stage].left)(run, done, total)
    return (total - done) / rate if left is None else left.work / (rate * left.a_unit)


def _from_files(
    layout: RunLayout, run: Expected, last: LogLine | None, done_by: Callable[[RunLayout, str], int | None]
) -> RunStatus:
    """The status from the files of stages.

    ``last`` says that a stage has finished; files of later stages that are older than that are ignored.
    """
    stages = list(STAGES)
    standing = len(stages)
    if last is not None:
        standing = stages.index(last.stage) + 1
        while standing < len(stages) and (_time(layout.made_by(stages[standing])) or 0) >= (last.epoch or 0):
            standing += 1
    for stage in reversed(stages[:standing]):
        done, expected, unit = done_by(layout, stage), getattr(run, STAGES[stage].expected), STAGES[stage].unit
        if done is None:
            continue
        if expected not in (None, done):
            note = f"{layout.made_by(stage).name}: {done:,} {unit}, of {expected:,} in the plan"
            return RunStatus(run, "waiting", stage, done, expected, unit, note=note)
        after = following(stage)
        return RunStatus(run, "waiting", after[0].name) if after else RunStatus(run, "done", stage)
    return _begun(layout, run)


def _begun(layout: RunLayout, run: Expected) -> RunStatus:
    """The status of a run without weights, from the metrics of a training that writes no log."""
    line, since = next(reversed(json_lines(layout.metrics)), None), _time(layout.metrics)
    if line is None or since is None or layout.progress.exists() or run.weights_name != run.name:
        return RunStatus(run, "waiting", "train")
    done, rate, total = number(line.get("images")), number(line.get("images_per_s")), run.training_images
    status = RunStatus(run, "training", "train", done, total, "img", since=since)
    if time.time() - since > SILENT_AFTER_S:
        return replace(status, state="silent", note=f"no update since {clock(since)}")
    return replace(status, rate=rate, seconds_left=_seconds_left(run, "train", done, total, rate))


class _Damaged(Exception):
    """A file that a stage wrote has invalid content."""

    def __init__(self, stage: str, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.stage, self.path = stage, path


def amount(layout: RunLayout, stage: str) -> int | None:
    """The amount that a stage has done: images trained, sets sampled or sets scored; None without its file."""
    content = content_of(layout, stage)
    try:
        return None if content is None else int(resolve_name(STAGES[stage].amount)(content))
    except Exception as error:  # a damaged file fails in many ways
        raise _Damaged(stage, layout.made_by(stage), "damaged, or of another version of tdbench") from error


def content_of(layout: RunLayout, stage: str) -> Any:
    """The content of the file that a stage writes last; None if it is missing."""
    path = layout.made_by(stage)
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _Damaged(stage, path, f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _Damaged(stage, path, "damaged, not JSON") from error


def clock(epoch: float) -> str:
    """Local time, with the date unless it is today."""
    then = datetime.fromtimestamp(epoch)
    return then.strftime("%H:%M" if then.date() == datetime.now().date() else "%Y-%m-%d %H:%M")


def _lives(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, TypeError, ValueError, OverflowError):  # another user's process, or not a number
        return True
    return True


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
