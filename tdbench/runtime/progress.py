"""Progress of long work, with the time left: a live bar in a terminal, a line now and then elsewhere, a log beside."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from tqdm import tqdm

from tdbench.runtime.progress_log import ProgressLog
from tdbench.runtime.torchrun import rank

_LINE_EVERY_S = 20.0


def say(text: str) -> None:
    """A line on standard error about what long work is at."""
    if not _quiet():
        print(text, file=sys.stderr, flush=True)


def _quiet() -> bool:
    """Of several processes that torchrun started only the first talks."""
    return rank() != 0


class Bar(tqdm):  # type: ignore[type-arg]
    """tqdm's bar, which also counts work done before, and uses a monotonic clock."""

    # The thread that looks after bars reads the clock of the day; with `miniters=1` a bar needs none.
    monitor_interval = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(miniters=1, **options)
        if not self.disable:
            # tqdm has no option for it. Its own clock may jump, and an hour back would be an hour of silence.
            self._time = time.monotonic
            self.start_t = self.last_print_t = self._time()

    def skip(self, n: int) -> None:
        """Count ``n`` units as done without counting them in the rate."""
        if self.disable:
            return
        self.initial += n
        self.n += n
        self.last_print_n += n


@contextmanager
def progress(
    description: str, total: int, unit: str, delay_s: float = 0.0, initial: int = 0, log: ProgressLog | None = None
) -> Iterator[Bar]:
    """A progress bar on standard error.

    Parameters
    ----------
    total : int
        Units of work; the work calls ``update(n)`` on what it gets.
    unit : str
        What is counted, such as ``img``.
    delay_s : float
        Work that ends within so many seconds shows nothing.
    initial : int
        Units that were done before, where work is taken up again; they do not count in the rate.
    log : ProgressLog or None
        Also gets the counts, and how the work ends.
    """
    live = sys.stderr.isatty()
    line = (
        "{desc}: {percentage:3.0f} % {n_fmt}/{total_fmt} {unit}, {rate_fmt}, "
        "{elapsed} elapsed, {remaining} left{postfix}"
    )
    bar = Bar(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=total > 10_000,
        dynamic_ncols=live,
        mininterval=0.2 if live else _LINE_EVERY_S,
        maxinterval=1.0 if live else _LINE_EVERY_S,
        leave=not live,
        disable=_quiet(),
        delay=delay_s,
        initial=initial,
        bar_format=None if live else line + "\n",
    )
    try:
        with log.following(bar, total, unit) if log is not None and not _quiet() else nullcontext():
            yield bar
    finally:
        bar.close()
