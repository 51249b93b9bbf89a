"""Measures ratios of times in alternation, as rows of the table."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

Kind = Literal["time", "memory", "error", "bias"]
Work = Callable[[], Any]

SHORTEST_S = 0.05
"""Least time of one measurement; shorter work is repeated, because clock and scheduler add microseconds."""


@dataclass(frozen=True)
class Row:
    """One figure: a measurement relative to its reference."""

    name: str
    kind: Kind
    ratio: float
    low: float
    high: float
    spread: str
    """The meaning of ``low`` and ``high``."""
    repeats: int
    """Number of independent ratios or batches."""
    at_most: float | None = None
    """The target of the project."""
    seconds: tuple[float, float] | None = None
    """Median times of the measurement and of its reference."""
    note: str = ""
    group: str = ""

    @property
    def missed(self) -> bool:
        return self.at_most is not None and self.ratio > self.at_most


@dataclass(frozen=True)
class Bench:
    """The device, and how thorough the measurement is."""

    device: torch.device
    quick: bool = False

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def repeats(self, wanted: int) -> int:
        """Return ``wanted`` alternations, or the few of a quick run."""
        return 3 if self.quick else wanted


def exact(name: str, kind: Kind, ratio: float, note: str = "", at_most: float | None = None) -> Row:
    """Return a row with a counted figure, which has no spread."""
    return Row(name, kind, ratio, ratio, ratio, "counted", 1, at_most, note=note)


def alternate(bench: Bench, works: Mapping[str, Work], reference: Work, repeats: int, **settings: Any) -> Iterator[Row]:
    """Return a row per work with its time relative to the reference: the median ratio over the alternations.

    Parameters
    ----------
    works : mapping
        Name of the row -> function. The measurement waits for asynchronous work, such as kernels on a device.
    repeats : int
        Number of alternations. Each runs every function once, every second one in reverse order.
    **settings
        Further fields of the rows.
    """
    everything = {None: reference, **works}
    counts = {name: _count(bench, work) for name, work in everything.items()}
    times: dict[str | None, list[float]] = {name: [] for name in everything}
    for turn in range(repeats):
        order = list(everything) if turn % 2 == 0 else list(reversed(everything))
        for name in order:
            times[name].append(_seconds(bench, everything[name], counts[name]))
    for name in works:
        yield _row(name, times[name], times[None], settings)


def _row(name: str, mine: list[float], theirs: list[float], settings: Mapping[str, Any]) -> Row:
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    seconds = (statistics.median(mine), statistics.median(theirs))
    return Row(name, "time", middle, low, high, "quartiles", len(ratios), seconds=seconds, **settings)


def _count(bench: Bench, work: Work) -> int:
    """Return how often to repeat work in one measurement; this also warms it up."""
    work()
    return max(1, min(1000, round(SHORTEST_S / max(_seconds(bench, work, 1), 1e-9))))


def _seconds(bench: Bench, work: Work, count: int) -> float:
    """Return the mean seconds of one call over ``count`` calls."""
    _wait(bench)
    begun = time.perf_counter()
    for _ in range(count):
        work()
    _wait(bench)
    return (time.perf_counter() - begun) / count


def _wait(bench: Bench) -> None:
    if bench.cuda:
        torch.cuda.synchronize(bench.device)
