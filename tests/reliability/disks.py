"""A small disk in memory that can be filled, emptied and made read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZE = 48 << 20


class Disk:
    """A mounted file system.

    Attributes
    ----------
    results : Path
        A folder on it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._ballast = folder, folder / "ballast"
        self.results = folder / "results"

    def fill(self, leave: int = 0) -> None:
        """Take all space but ``leave`` bytes."""
        free = os.statvfs(self._folder)
        taken = free.f_bavail * free.f_frsize - leave
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(taken, 1))

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def read_only(self, wanted: bool) -> None:
        _mount("-o", f"remount,{'ro' if wanted else 'rw'}", str(self._folder))


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """A tmpfs at ``folder``; the test is skipped where it cannot be mounted."""
    folder.mkdir()
    done = _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tdbench-test", str(folder), check=False)
    if done.returncode != 0:
        pytest.skip(f"a disk of a size cannot be mounted here, which takes root: {done.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _mount(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], check=check, capture_output=True, text=True)
