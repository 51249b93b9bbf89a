"""Graceful stop after SIGTERM (from a scheduler or a shutdown) and SIGINT (Ctrl-C)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tdbench.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a signal to stop has arrived. Work that checks it can save a checkpoint first."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def note(self, signal_number: int, _: FrameType | None) -> None:
        """Handle a signal. A second Ctrl-C stops at once; a second SIGTERM changes nothing."""
        if self and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = self.signal_number or signal_number


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Record signals in the block instead of ending the process. Only the main thread can catch signals.

    Raises
    ------
    Stopped
        If the work fails after a signal: a job of several runs must not continue with the next.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.note) for number in SIGNALS}
    try:
        yield request
    except Exception as error:
        if request:
            raise Stopped(request.signal_number, f"asked to stop, but failed first: {error}") from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_sigterm() -> None:
    """Make SIGTERM raise an exception, so that temporary files are removed."""

    def stop(signal_number: int, _: FrameType | None) -> NoReturn:
        raise Stopped(signal_number, "stopped; finished work is kept")

    signal.signal(signal.SIGTERM, stop)
