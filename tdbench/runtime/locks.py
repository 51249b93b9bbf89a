"""One process at a time on a folder: a lock that dies with the process that holds it, and a word on who that is."""

import errno
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from tdbench.errors import TdbenchError
from tdbench.runtime import advice
from tdbench.runtime.files import make_folder, read_json, write_json
from tdbench.runtime.progress import say

WAIT_S = 10.0
"""For the one before, which was asked to stop and is putting away what it has."""
_WORTH_A_WORD_S = 2.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Busy(TdbenchError):
    """Another process holds the folder; says which, since when, and what to do."""


class Hold:
    """Keeps other processes away from a folder.

    The lock is one of the system's on a file, which is free again when its process ends, however it ends. Where the
    file system has none (some parallel ones, mounted without), a file that is made and deleted serves: what a process
    on another host leaves behind when it is killed has then to be deleted by hand.

    Parameters
    ----------
    folder : Path
    doing : str
        What others are told about the holder, such as ``another Snakemake works here``.
    advice : str
        What they can do besides waiting for it or stopping it.
    """

    def __init__(self, folder: Path, doing: str, advice: str = "") -> None:
        self._folder, self._doing, self._advice = folder, doing, advice
        self._owner = folder / ".tdbench.json"
        self._lock: BaseFileLock | None = None

    def take(self, wait_s: float | None = None) -> Self:
        """Lock the folder, after waiting up to ``wait_s`` for it (`WAIT_S` by default).

        Raises
        ------
        Busy
            If another process still has it.
        TdbenchError
            If the folder cannot be written.
        """
        wait_s = WAIT_S if wait_s is None else wait_s
        make_folder(self._folder)
        try:
            self._lock = self._taken(0)
            if self._lock is None and wait_s > 0:
                if wait_s > _WORTH_A_WORD_S:
                    say(f"{self._busy()}; waiting up to {wait_s:.0f} s")
                self._lock = self._taken(wait_s)
        except OSError as error:
            raise TdbenchError(f"{self._folder}: cannot be locked ({error.strerror or error})") from error
        if self._lock is None:
            raise Busy(f"{self._busy()}; wait until it ends, or stop it{self._advice}")
        now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "since": f"{now} UTC", "in": str(Path.cwd())}
        # A full disk is for the work's own files to report.
        with suppress(TdbenchError):
            write_json(self._owner, owner)
        return self

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._owner.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    @property
    def free(self) -> bool:
        """Whether it is free now, as far as can be known."""
        try:
            found = self._taken(0)
        except OSError:
            return True
        if found is not None:
            found.release()
        return found is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()

    def _taken(self, wait_s: float) -> BaseFileLock | None:
        """The lock, or None if another process has it."""
        # Not a lock of the thread: the handler of a signal or an end of the program may let it go.
        path = self._folder / ".tdbench.lock"
        lock: BaseFileLock = FileLock(path, thread_local=False)
        try:
            return _acquired(lock, wait_s)
        except NotImplementedError:  # how filelock puts ENOSYS
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        return _acquired(SoftFileLock(path.with_suffix(".held"), thread_local=False), wait_s)

    def _busy(self) -> str:
        try:
            owner = read_json(self._owner, "tdbench")
            who = f"process {owner['pid']} on {owner['host']}, in {owner['in']}, since {owner['since']}"
        except (TdbenchError, LookupError, TypeError):
            who = "an unknown process"
        return f"{self._folder}: {self._doing}: {who}"


def _acquired(lock: BaseFileLock, wait_s: float) -> BaseFileLock | None:
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        return None
    return lock


def hold_results(results: Path) -> Hold:
    """For Snakemake: one at a time works on a results folder, from any working folder."""
    asked = advice.command("status", results)
    return Hold(results, "another Snakemake is working on these results", f" (`{asked}` shows its progress)")


def hold_run(folder: Path, name: str) -> Hold:
    """For a stage of a run, which would mix its files with those of another at work on the same run."""
    return Hold(folder, f"{name}: another process is working on this run")
