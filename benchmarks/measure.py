"""Ratios of times, measured in alternation, and the rows of the table."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

Kind = Literal["time", "memory", "error", "bias"]
Work = Callable[[], Any]

SHORTEST_S = 0.05
"""Work is repeated until one measurement takes so long: the clock and the scheduler add microseconds."""


@dataclass(frozen=True)
class Row:
    """One figure: what was measured over what it is compared with."""

    name: str
    kind: Kind
    ratio: float
    low: float
    high: float
    spread: str
    """What ``low`` and ``high`` are."""
    repeats: int
    """Independent ratios or batches behind it."""
    at_most: float | None = None
    """The project's target."""
    seconds: tuple[float, float] | None = None
    """Median times of what was measured and of its reference."""
    note: str = ""
    group: str = ""

    @property
    def missed(self) -> bool:
        return self.at_most is not None and self.ratio > self.at_most


@dataclass(frozen=True)
class Bench:
    """Where and how thoroughly it is measured."""

    device: torch.device
    quick: bool = False

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def repeats(self, wanted: int) -> int:
        """``wanted`` alternations, or just enough to see that it works."""
        return 3 if self.quick else wanted


def exact(name: str, kind: Kind, ratio: float, note: str = "", at_most: float | None = None) -> Row:
    """A row of something counted, which has no spread."""
    return Row(name, kind, ratio, ratio, ratio, "counted", 1, at_most, note=note)


def alternate(bench: Bench, works: Mapping[str, Work], reference: Work, repeats: int, **settings: Any) -> Iterator[Row]:
    """Rows of how long each work takes over the reference: the median of the ratios of single alternations.

    Parameters
    ----------
    works : mapping
        Row's name -> what is measured. What it leaves for later, such as kernels on a device, is waited for.
    repeats : int
        Alternations, each of which runs all once; every second one in reverse order.
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
    """How often work is done in one measurement; warms it up on the way."""
    work()
    return max(1, min(1000, round(SHORTEST_S / max(_seconds(bench, work, 1), 1e-9))))


def _seconds(bench: Bench, work: Work, count: int) -> float:
    """Seconds of one call, mean of ``count``."""
    _wait(bench)
    begun = time.perf_counter()
    for _ in range(count):
        work()
    _wait(bench)
    return (time.perf_counter() - begun) / count


def _wait(bench: Bench) -> None:
    if bench.cuda:
        torch.cuda.synchronize(bench.device)
