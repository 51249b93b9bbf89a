"""Whether the files that a data set was made from have changed since, by names, sizes and times: no file is read."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from tdbench.data.images import is_hidden
from tdbench.data.summary import DataSummary


def source_state(path: Path) -> str | None:
    """SHA-256 of the names, sizes and times of the files at a path; None where nothing can be read.

    Parameters
    ----------
    path : Path
        A file, or a folder of which all files below it count but the hidden ones.
    """
    if not path.exists():
        return None
    try:
        entries = sorted((name, found.st_size, found.st_mtime_ns) for name, found in _files(path))
    except OSError:
        return None
    return hashlib.sha256(repr(entries).encode("utf-8", "surrogateescape")).hexdigest()


def changed_since(path: Path, summary: DataSummary, archive: Path) -> bool:
    """Whether the files at ``path`` are others than those that an archive with that summary was made from.

    A summary of an earlier version has no state: then a file that is newer than the archive is a change.
    """
    if summary.source_state is not None:
        return source_state(path) not in (None, summary.source_state)
    try:
        newest = max((found.st_mtime_ns for _, found in _files(path)), default=0)
        return newest > archive.stat().st_mtime_ns
    except OSError:
        return False


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    if path.is_file():
        # Its folder may be called otherwise after a move.
        yield path.name, path.stat()
        return
    for parent, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            if not is_hidden(name):
                file = Path(parent, name)
                yield file.relative_to(path).as_posix(), file.stat()
