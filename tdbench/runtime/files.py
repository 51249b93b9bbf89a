"""Atomic files: everything is written beside its place and renamed into it.

Only a regular file, or a name where nothing is yet, is written to: renamed over a device or a pipe, a file would take
its place for everybody.
"""

import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tdbench.errors import TdbenchError

Line = dict[str, Any]
"""An object of a JSON-lines file, which a killed process or another version may have written."""
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO (a named pipe)",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _file_mode() -> int:
    """Mode of a new file as the umask says, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


# Once, before there are threads, whose files would get the mode of the moment.
_MODE = _file_mode()


def make_folder(path: Path) -> Path:
    """Create ``path`` and its parents.

    Raises
    ------
    TdbenchError
        If the folder cannot be created or cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Asking for permission is not enough (read-only file systems, root): try it.
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise TdbenchError(f"{path}: the folder cannot be written ({error.strerror}); choose another folder") from error
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that replaces ``path`` if the block ends well and vanishes if it does not.

    Raises
    ------
    TdbenchError
        Before the block, if ``path`` is neither a regular file nor new; after it, if it cannot be written.
    """
    target = regular_target(path)
    with _temporary(target) as temporary:
        yield temporary
        _settle(temporary, target)


def regular_target(path: Path) -> Path:
    """The file that is written to where ``path`` is given: what a symlink leads to, else ``path`` itself.

    Raises
    ------
    TdbenchError
        If something is there that is no regular file.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        kind = stat.S_IFMT(target.lstat().st_mode)
    except OSError:  # nothing there yet; a folder that cannot be reached is reported when it is made
        return target
    if kind != stat.S_IFREG:
        found = _KINDS.get(kind, "symlink to itself")
        led = f", the target of the symlink {path}" if target != path else ""
        raise TdbenchError(f"{target}: is a {found}{led}; give a regular file or a new name")
    return target


@contextmanager
def checksummed_path(folder: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """Like `atomic_path`, for a file whose name holds the SHA-256 of its content: ``PREFIX CHECKSUM SUFFIX``."""
    with _temporary(folder / f"{prefix}{suffix}") as temporary:
        yield temporary
        _settle(temporary, regular_target(folder / f"{prefix}{sha256(temporary)}{suffix}"))


def _settle(temporary: Path, path: Path) -> None:
    """Move a file to its place, on the disk too: first its content, then its name."""
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    # Some libraries make files that only their owner may read.
    temporary.chmod(_MODE)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:  # not every file system can
        pass
    finally:
        os.close(folder)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside ``path`` that is gone after the block; what cannot be written is reported of ``path``."""
    make_folder(path.parent)
    # The suffix stays, since libraries choose a format by it. Processes on two hosts may have the same number.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        with writing(path):
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What cannot be written in the block, for want of space say, is reported of ``path``."""
    try:
        yield
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be written ({error.strerror or error})") from error
    except SafetensorError as error:  # a full disk, which safetensors does not report as OSError
        raise TdbenchError(f"{path}: cannot be written ({error})") from error


def remove_leftovers(folder: Path) -> None:
    """Remove partial files of killed processes below a folder in which no other process writes now."""
    for path in folder.rglob(".*.tmp*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content``, of which any part may be a `validation.Record`; raises TypeError for other objects."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False, default=_json_of) + "\n")


def _json_of(part: Any) -> Any:
    if not hasattr(part, "written"):
        raise TypeError(f"{part!r:.200} ({type(part).__name__}) has no form in JSON")
    return part.written()


def parse_json(text: str) -> Any:
    """What a text of JSON says.

    Raises
    ------
    ValueError, RecursionError
        If it is none, or holds half of a surrogate pair, which no table and no file can hold.
    """
    content = json.loads(text)
    if "\\ud" in text.lower():
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    return content


def read_json(path: Path, made_by: str) -> Any:
    """The content of a JSON file that the command ``made_by`` wrote.

    Raises
    ------
    TdbenchError
        If it is missing or is not JSON.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such file; `{made_by}` writes it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise TdbenchError(f"{path}: cannot be read as JSON ({error}); `{made_by}` writes it again") from error


def json_lines(path: Path, last_bytes: int | None = 65_536) -> list[Line]:
    """The objects in a file of JSON lines that another process may be writing: of its end only, or of all of it.

    Lines cut short are left out; a file that is missing or cannot be read has none.
    """
    try:
        with path.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            begin = 0 if last_bytes is None else max(0, size - last_bytes)
            handle.seek(begin)
            texts = handle.read().split(b"\n")
    except OSError:
        return []
    lines = []
    for text in texts[1:] if begin else texts:
        try:
            lines.append(parse_json(text.decode("utf-8")))
        except (ValueError, RecursionError):
            continue
    return [line for line in lines if isinstance(line, dict)]


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be read ({error.strerror})") from error
