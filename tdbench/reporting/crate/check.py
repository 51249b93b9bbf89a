"""`tdbench check-crate`: checks that a crate is complete and unchanged, without unpacking or running anything.

A crate comes from others, so nothing in it is trusted: paths outside it are refused, no file is read beyond its
described size, and text from it is made printable.
"""

import hashlib
import json
import shlex
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, Protocol, cast
from urllib.parse import unquote
from zipfile import ZipFile, ZipInfo

from rocrate.model import File
from rocrate.rocrate import ROCrate

from tdbench.errors import TdbenchError
from tdbench.reporting.crate import METADATA, RESOLVED
from tdbench.reporting.crate.repeat import again, commits_of, data_to_bring, size

_LARGEST_METADATA = 1 << 28
_CHUNK = 1 << 20
_LINK = 0o120000


class Check(NamedTuple):
    """The result of a check."""

    faults: list[str]
    """Messages of one line."""
    files: int
    size: int
    """Total bytes of the described files."""
    metadata_sha256: str
    commits: list[str]
    """Commits named in the crate as those that made it."""
    status: str | None
    """The crate's creativeWorkStatus, such as Incomplete."""
    plugins: list[str]
    """Python files in the crate, which its experiment may run."""
    to_bring: list[str]
    """Data that must be copied before the crate can be reproduced, one line each."""


def _unread(*faults: str) -> Check:
    """The result for a crate with an unreadable description."""
    return Check([*faults], 0, 0, "", [], None, [], [])


def checked_lines(path: Path, found: Check) -> list[str]:
    """The output of `tdbench check-crate`."""
    if found.faults:
        return [*found.faults, f"{path}: damaged: {len(found.faults)} faults"]
    lines = [
        f"{path}: complete: {found.files} files, {size(found.size)}, each as described; "
        f"sha256 of {METADATA}: {found.metadata_sha256}"
    ]
    if found.status is not None:
        lines.append(f"its status: {found.status}")
    folder = str(path)
    lines.append("To reproduce it, in a checkout of tdbench:")
    if not path.is_dir():
        folder = path.name.removesuffix(".zip").removesuffix(".crate") + "-crate"
        lines.append(f"  python3 -m zipfile -e {shlex.quote(str(path))} {shlex.quote(folder)}")
    lines += [f"  {line}" for line in again(found.commits, shlex.quote(folder))]
    lines += [f"Before that, {_shown(line)}" for line in found.to_bring]
    if found.plugins:
        lines.append(f"This runs code from the crate; read it first: {', '.join(map(_shown, found.plugins))}")
    return lines


class _Source(Protocol):
    """The files of a crate."""

    def names(self) -> tuple[list[str], list[str]]:
        """Paths of all regular files, and faults of other entries."""

    def open(self, name: str) -> BinaryIO: ...


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> tuple[list[str], list[str]]:
        names, faults = [], []
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_symlink():
                faults.append(f"{_shown(name)}: a link, which may point outside the crate; refused")
            elif path.is_file():
                names.append(name)
            elif not path.is_dir():
                faults.append(f"{_shown(name)}: not a file")
        return names, faults

    def open(self, name: str) -> BinaryIO:
        return (self.path / name).open("rb")


class _Zip:
    def __init__(self, archive: ZipFile) -> None:
        self.archive = archive

    def names(self) -> tuple[list[str], list[str]]:
        names: dict[str, None] = {}
        faults = []
        for info in self.archive.infolist():
            fault = _fault(info, names)
            if fault is not None:
                faults.append(f"{_shown(info.filename)}: {fault}; refused")
            elif not info.is_dir():
                names[info.filename] = None
        return list(names), faults

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self.archive.open(name))


def _fault(info: ZipInfo, names: Container[str]) -> str | None:
    if not is_inside(info.filename):
        return "a path outside the crate"
    if (info.external_attr >> 16) & 0o170000 == _LINK:
        return "a link, which may point outside the crate"
    return "listed twice" if info.filename in names else None


def is_inside(name: str) -> bool:
    """Whether a path is inside the crate, on any operating system."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and not {"\\", ":", "\0"} & set(name) and ".." not in path.parts


def check_crate(path: Path) -> Check:
    """Compare the files of a crate, a folder or a zip, with its description.

    Raises
    ------
    TdbenchError
        If there is no such file or folder.
    """
    if not path.exists():
        raise TdbenchError(f"{path}: no such file or folder; give a crate (a folder or a zip)")
    try:
        with _opened(path) as source:
            return _check(source)
    except (OSError, ValueError, _Unreadable, NotImplementedError) as error:
        return _unread(f"{path}: cannot be read ({error})")


class _Unreadable(Exception):
    """A zip that cannot be read at all."""


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        archive = ZipFile(path)
    except Exception as error:  # zipfile raises several kinds for damaged files
        raise _Unreadable(f"damaged zip: {error}") from error
    with archive:
        yield _Zip(archive)


def _check(source: _Source) -> Check:
    names, faults = source.names()
    if METADATA not in names:
        return _unread(*faults, f"{METADATA}: missing; not an RO-Crate")
    try:
        text = _read(source, METADATA)
        crate = _parse(text)
    except Exception as error:  # zipfile, json and rocrate raise many kinds
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return _unread(*faults, f"{METADATA}: not readable as RO-Crate metadata ({_shown(said)})")
    described: dict[str, Any] = {}
    present, total = set(names), 0
    for entity in crate.data_entities:
        if not isinstance(entity, File):
            continue
        name = unquote(entity.id)
        if not is_inside(name):
            faults.append(f"{_shown(entity.id)}: described, but outside the crate; refused")
            continue
        described[name] = entity
        fault, read = _compare(source, name, entity) if name in present else ("missing", 0)
        total += read
        faults += [f"{_shown(name)}: {fault}"] if fault else []
    known = {METADATA, *described}
    faults += [f"{_shown(name)}: not described by {METADATA}" for name in names if name not in known]
    status = crate.root_dataset.get("creativeWorkStatus")
    return Check(
        faults,
        len(described),
        total,
        hashlib.sha256(text).hexdigest(),
        commits_of(crate),
        None if status is None else _shown(str(status)),
        [name for name in described if name.endswith(".py")],
        _to_bring(source, names),
    )


def _to_bring(source: _Source, names: list[str]) -> list[str]:
    """Data sets that are read from a path and are not in the crate; empty if that cannot be read."""
    try:
        return data_to_bring(json.loads(_read(source, RESOLVED)), names)
    except Exception:  # zipfile and json raise many kinds; the checksum reveals damage
        return []


def _read(source: _Source, name: str) -> bytes:
    with source.open(name) as file:
        content = file.read(_LARGEST_METADATA + 1)
    if len(content) > _LARGEST_METADATA:
        raise ValueError(f"larger than {_LARGEST_METADATA} bytes")
    return content


def _parse(text: bytes) -> ROCrate:
    content = json.loads(text)
    ids = [entity["@id"] for entity in content["@graph"]]
    twice = next((name for name in ids if ids.count(name) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise ValueError(f"describes {twice!r} twice")
    with warnings.catch_warnings():
        # It warns about files that the root does not list; the caller reports them as not described.
        warnings.simplefilter("ignore")
        return ROCrate(content)


def _compare(source: _Source, name: str, entity: File) -> tuple[str | None, int]:
    """The fault of a file, or None, and the number of bytes read."""
    wanted, size = entity.get("sha256"), entity.get("contentSize")
    if not isinstance(wanted, str) or not isinstance(size, str) or not size.isdecimal():
        return "described without sha256 and contentSize", 0
    digest, read = hashlib.sha256(), 0
    try:
        with source.open(name) as file:
            while chunk := file.read(_CHUNK):
                read += len(chunk)
                digest.update(chunk)
                if read > int(size):
                    return f"longer than the expected {size} bytes", read
    except Exception as error:  # wrong CRC of the zip, broken stream, or password
        return f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})", read
    if read != int(size):
        return f"{read} bytes, expected {size}", read
    if digest.hexdigest() != wanted.lower():
        return f"sha256 {digest.hexdigest()[:16]}, expected {_shown(wanted[:16])}: the file was changed", read
    return None, read


def _shown(text: str) -> str:
    """Untrusted text, without control characters for the terminal."""
    return text if text.isprintable() else repr(text)
