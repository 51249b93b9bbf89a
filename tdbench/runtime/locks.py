"""Locks on folders. A lock ends with the process that holds it, and a file beside it says which process that is."""

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
"""Time to wait for an earlier process that was asked to stop and is saving its work."""
_WORTH_A_WORD_S = 2.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Busy(TdbenchError):
    """Another process holds the folder. The message says which, since when, and what to do."""


class FolderLock:
    """A lock that keeps other processes out of a folder.

    It is a system lock on a file, so it is released when the process ends, even if it is killed. If the file system has
    no locks (some parallel ones are mounted without), the existence of a file is the lock. After a process on another
    host was killed, that file must then be deleted by hand.

    Parameters
    ----------
    folder : Path
    doing : str
        What the message to others says, such as ``another Snakemake is working here``.
    advice : str
        What they can do besides waiting or stopping the holder.
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
        # If the disk is full, the files of the work will report it.
        with suppress(TdbenchError):
            write_json(self._owner, owner)
        return self

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._owner.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    @property
    def free(self) -> bool:
        """Whether the lock is free now, as far as can be known."""
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
        """Return the acquired lock, or None if another process has it."""
        # Not thread-local: a signal handler or the end of the program may release it.
        path = self._folder / ".tdbench.lock"
        lock: BaseFileLock = FileLock(path, thread_local=False)
        try:
            return _acquired(lock, wait_s)
        except NotImplementedError:  # filelock raises this for ENOSYS
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


def hold_results(results: Path) -> FolderLock:
    """Return the lock for Snakemake: one at a time per results folder, from any working folder."""
    asked = advice.command("status", results)
    return FolderLock(results, "another Snakemake is working on these results", f" (`{asked}` shows its progress)")


def hold_run(folder: Path, name: str) -> FolderLock:
    """Return the lock for a stage of a run: two processes on one run would mix their files."""
    return FolderLock(folder, f"{name}: another process is working on this run")
