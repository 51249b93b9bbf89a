"""Atomic files: everything is written to a temporary file in the same folder and then renamed.

Only a regular file or a new name may be the target: renaming a file over a device or a pipe would replace it for all
users.
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
"""An object of a JSON-lines file. A killed process or another version may have written it."""
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO (a named pipe)",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def _file_mode() -> int:
    """Return the mode of a new file under the current umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


# Once at import, before any thread exists: a file created meanwhile would get the temporary umask.
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
        # A permission check is not enough (read-only file systems, root), so write a file.
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise TdbenchError(f"{path}: the folder cannot be written ({error.strerror}); choose another folder") from error
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` if the block succeeds and is deleted if it fails.

    Raises
    ------
    TdbenchError
        Before the block, if ``path`` exists and is not a regular file; after it, if it cannot be written.
    """
    target = regular_target(path)
    with _temporary(target) as temporary:
        yield temporary
        _commit(temporary, target)


def regular_target(path: Path) -> Path:
    """Return the file to write for ``path``: the target of a symlink, otherwise ``path`` itself.

    Raises
    ------
    TdbenchError
        If it exists and is not a regular file.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        kind = stat.S_IFMT(target.lstat().st_mode)
    except OSError:  # does not exist yet; an unreachable folder is reported when it is created
        return target
    if kind != stat.S_IFREG:
        found = _KINDS.get(kind, "symlink to itself")
        led = f", the target of the symlink {path}" if target != path else ""
        raise TdbenchError(f"{target}: is a {found}{led}; give a regular file or a new name")
    return target


@contextmanager
def checksummed_path(folder: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """Like `atomic_path`, for a file named by the SHA-256 of its content: ``PREFIX CHECKSUM SUFFIX``."""
    with _temporary(folder / f"{prefix}{suffix}") as temporary:
        yield temporary
        _commit(temporary, regular_target(folder / f"{prefix}{sha256(temporary)}{suffix}"))


def _commit(temporary: Path, path: Path) -> None:
    """Rename a file to its final name and flush both to disk: first the content, then the name."""
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    # Some libraries create files that only the owner may read.
    temporary.chmod(_MODE)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError:  # some file systems cannot sync a folder
        pass
    finally:
        os.close(folder)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder that is deleted after the block; write errors name ``path``."""
    make_folder(path.parent)
    # Keep the suffix, because libraries choose the format by it. Two hosts may have the same process id.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        with writing(path):
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn write errors in the block, such as a full disk, into a TdbenchError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be written ({error.strerror or error})") from error
    except SafetensorError as error:  # a full disk, which safetensors does not report as OSError
        raise TdbenchError(f"{path}: cannot be written ({error})") from error


def remove_leftovers(folder: Path) -> None:
    """Remove partial files of killed processes below a folder; no other process may be writing there."""
    for path in folder.rglob(".*.tmp*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON. Any part may be a `validation.Record`; other objects raise TypeError."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False, default=_json_of) + "\n")


def _json_of(part: Any) -> Any:
    if not hasattr(part, "to_json"):
        raise TypeError(f"{part!r:.200} ({type(part).__name__}) has no form in JSON")
    return part.to_json()


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises
    ------
    ValueError, RecursionError
        If it is not JSON, or holds an unpaired surrogate, which cannot be written to any file.
    """
    content = json.loads(text)
    if "\\ud" in text.lower():
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    return content


def read_json(path: Path, made_by: str) -> Any:
    """Return the content of a JSON file that the command ``made_by`` wrote.

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
    """Read the objects at the end of a JSON-lines file, or of the whole file if ``last_bytes`` is None.

    Another process may be writing the file, so incomplete lines are skipped. An unreadable or missing file has none.
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
    """Return the hexadecimal SHA-256 of a file."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be read ({error.strerror})") from error
