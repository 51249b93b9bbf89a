"""Progress of a stage of a run as JSON lines, which other processes and hosts can read.

A line has ``time`` (UTC), ``epoch`` (the same in seconds), ``stage``, ``state``, ``done`` of ``total`` ``unit``,
``initial`` (the count at a resume), ``rate`` (recent units per second, null if unknown), ``seconds`` since the stage
began, ``every_s`` (the next line follows within this time), ``host`` and ``pid``; after a failure also ``error``.
"""

import json
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from tdbench.errors import TdbenchError, printable
from tdbench.runtime.files import Line, json_lines, write_text

FIRST_INTERVAL_S = 5.0
"""Seconds between two lines when a stage begins. Later it is a sixtieth of the elapsed time,"""
LAST_INTERVAL_S = 180.0
"""but at most this: a week gives about 3,600 lines, 0.9 MB."""
RATE_WINDOW_S = 60.0
"""Window of the rate in seconds; it is longer if the last few lines are further apart."""

State = Literal["running", "finished", "failed", "stopped"]


_STATES = ("running", "finished", "failed", "stopped")
_LARGEST = 1e15
"""Above every valid count and time. A larger number comes from damage and could overflow."""
_LONGEST = 2_000


def number(value: object) -> float | None:
    """Return a finite number, or None for anything else that a damaged file may hold."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST
    return value if usable and isinstance(value, int | float) else None


@dataclass(frozen=True)
class LogLine:
    """The valid parts of a log line, which another version or a killed process may have written."""

    stage: str
    state: str
    """``running``, ``finished``, ``failed`` or ``stopped``; empty for anything else."""
    epoch: float | None
    """Time of writing in seconds; None if it is not a valid time."""
    time: str
    done: float | None
    total: float | None
    unit: str
    rate: float | None
    every_s: float
    host: str
    pid: str
    error: str

    @classmethod
    def of(cls, content: Line) -> Self:
        """Parse an object of a log."""
        epoch, state = number(content.get("epoch")), content.get("state")

        def text(key: str) -> str:
            value = content.get(key)
            return "" if value is None else printable(str(value))[:_LONGEST]

        return cls(
            stage=text("stage"),
            state=state if isinstance(state, str) and state in _STATES else "",
            epoch=epoch if 0 < (epoch or 0) < 1e11 else None,
            time=text("time"),
            done=number(content.get("done")),
            total=number(content.get("total")),
            unit=text("unit"),
            rate=number(content.get("rate")),
            every_s=number(content.get("every_s")) or 0.0,
            host=text("host"),
            pid=text("pid"),
            error=text("error"),
        )


def read_log(path: Path, last_bytes: int | None = None) -> list[LogLine]:
    """Read the lines of a log, or only its last bytes. A missing or unreadable file has none."""
    return [LogLine.of(content) for content in json_lines(path, last_bytes)]


class Counter(Protocol):
    """The part of tqdm's bar that the log reads."""

    n: Any
    initial: Any


class ProgressLog:
    """Writes the lines of one stage of a run. It ignores write errors: the stage's own files report them.

    A thread reads the counter, so lines appear even during one long step and cost the work no time. The file is
    opened for each line, because other hosts of a shared file system see only what was closed.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self._path, self._stage = path, stage
        self._before = self._last()
        self._torn = False

    @contextmanager
    def following(self, counter: Counter, total: int, unit: str) -> Iterator[None]:
        """Write lines while the block runs: one at the start, some in between, and one with the outcome."""
        rate, begun, ended = _Rate(), time.monotonic(), threading.Event()

        def write(state: State, every_s: float = 0.0, error: BaseException | None = None) -> None:
            # Work from before a resume must not count in the rate of this process.
            rate.see(counter.n - counter.initial)
            done = {"done": int(counter.n), "total": total, "unit": unit, "initial": int(counter.initial)}
            self._write(state, **done, rate=rate.value, seconds=time.monotonic() - begun, every_s=every_s, error=error)

        def watch() -> None:
            while not ended.wait(interval(time.monotonic() - begun)):
                write("running", interval(time.monotonic() - begun))

        self._drop_older()
        write("running", interval(0))
        thread = threading.Thread(target=watch, name="progress log", daemon=True)
        thread.start()
        state: State = "finished"
        cause: BaseException | None = None
        try:
            yield
        except BaseException as error:
            # `Stopped` and KeyboardInterrupt are not an `Exception`.
            state, cause = "failed" if isinstance(error, Exception) else "stopped", error
            raise
        finally:
            ended.set()
            thread.join()
            write(state, error=cause if state == "failed" else None)

    def failed(self, error: BaseException) -> None:
        """Record a failure outside the block of `following`, such as a missing input."""
        last = self._last()
        mine = last != self._before
        if mine and last.get("state") == "failed":
            return
        if not mine:
            self._drop_older()
        kept = {key: last.get(key) if mine else None for key in ("done", "total", "unit", "initial", "rate", "seconds")}
        self._write("failed", **kept, every_s=0.0, error=error)

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """Record an error of the block."""
        try:
            yield
        except (TdbenchError, OSError) as error:
            self.failed(error)
            raise

    def _last(self) -> Line:
        """The last line about this stage. Its time does not show whether it is new, because clocks may be set back."""
        written: Iterable[Line] = reversed(json_lines(self._path))
        return next((line for line in written if line.get("stage") == self._stage), {})

    def _drop_older(self) -> None:
        """Remove lines of earlier attempts at this stage, and partial lines of a killed process."""
        try:
            lines = json_lines(self._path, last_bytes=None)
            kept = [json.dumps(line) + "\n" for line in lines if line.get("stage") != self._stage]
            if self._path.exists():
                write_text(self._path, "".join(kept))
        except (OSError, TdbenchError):
            self._torn = True

    def _write(self, state: State, *, error: BaseException | None, **figures: Any) -> None:
        now = time.time()
        line: Line = {
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            "epoch": round(now, 3),
            "stage": self._stage,
            "state": state,
        }
        line |= {key: float(f"{v:.5g}") if isinstance(v, float) else v for key, v in figures.items()}
        line |= {"host": socket.gethostname(), "pid": os.getpid()}
        if error is not None:
            line["error"] = first_line(error)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                # After an incomplete line, begin a new one.
                file.write("\n" * self._torn + json.dumps(line) + "\n")
            self._torn = False
        except OSError:
            self._torn = True


class _Rate:
    """Units per second over about the last minute, from the counts of this process."""

    def __init__(self) -> None:
        self._seen = deque([(time.monotonic(), 0.0)])

    def see(self, done: float) -> None:
        """Record a count if it has changed, because one step may take minutes."""
        if done != self._seen[-1][1]:
            self._seen.append((time.monotonic(), done))
        # Keep at least three intervals.
        while len(self._seen) > 4 and self._seen[-1][0] - self._seen[1][0] >= RATE_WINDOW_S:
            self._seen.popleft()

    @property
    def value(self) -> float | None:
        """The rate, or None before the first progress. It drops if the count has not changed for long."""
        (begun, first), (last, done) = self._seen[0], self._seen[-1]
        if done == first:
            return None
        usual = (last - begun) / (len(self._seen) - 1)
        now = time.monotonic()
        return (done - first) / max((now if now - last > 3 * usual else last) - begun, 1e-9)


def interval(elapsed_s: float) -> float:
    """Return the seconds to the next line of a stage that began ``elapsed_s`` seconds ago."""
    return min(max(FIRST_INTERVAL_S, elapsed_s / 60), LAST_INTERVAL_S)


def first_line(error: BaseException) -> str:
    """Return an error as one line. Errors of other libraries get their class name."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, TdbenchError) else f"{type(error).__name__}: {text}".rstrip(": ")
