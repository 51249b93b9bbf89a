"""Stopping when asked: SIGTERM (a scheduler, a machine that shuts down) and SIGINT (Ctrl-C)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from tdbench.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a signal to stop has come; work that looks at it can first put away what it has."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __bool__(self) -> bool:
        return self.signal_number != 0

    def note(self, signal_number: int, _: FrameType | None) -> None:
        """The handler. A second Ctrl-C does not wait for the work to look; a second SIGTERM says nothing new."""
        if self and signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = self.signal_number or signal_number


@contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Within the block a signal is noted instead of ending the process; in threads but the first none can be caught.

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
