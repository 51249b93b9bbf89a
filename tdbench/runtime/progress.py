"""Progress of long work with the time left: a live bar in a terminal, otherwise a line every 20 s; also to a log."""

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
    """Print a status line on standard error."""
    if not _quiet():
        print(text, file=sys.stderr, flush=True)


def _quiet() -> bool:
    """Return whether this is not the first of several processes; only the first prints."""
    return rank() != 0


class Bar(tqdm):  # type: ignore[type-arg]
    """A tqdm bar that also counts earlier work and uses a monotonic clock."""

    # tqdm's monitor thread reads the wall clock; with `miniters=1` it is not needed.
    monitor_interval = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(miniters=1, **options)
        if not self.disable:
            # tqdm has no option for the clock. If its wall clock is set back an hour, the bar pauses an hour.
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
    """Show a progress bar on standard error.

    Parameters
    ----------
    total : int
        Units of work; the block calls ``update(n)`` on the bar.
    unit : str
        Name of the unit, such as ``img``.
    delay_s : float
        Show nothing if the work ends within this many seconds.
    initial : int
        Units done before a resume; the rate does not count them.
    log : ProgressLog or None
        Also receives the counts and the outcome.
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
