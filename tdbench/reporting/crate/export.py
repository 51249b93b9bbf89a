"""`tdbench export`: writes a complete crate, or nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from rocrate.rocrate import ROCrate

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.reporting.crate import METADATA
from tdbench.reporting.crate.check import Check, check_crate
from tdbench.reporting.crate.gather import gather
from tdbench.reporting.crate.metadata import describe
from tdbench.reporting.crate.readme import left_out
from tdbench.reporting.crate.repeat import size
from tdbench.runtime.files import atomic_path, regular_target

_CHUNK = 1 << 20


def export_crate(
    plan: Plan, results: Path, output: Path, options: frozenset[str], licence: str | None, unfinished: bool, force: bool
) -> list[str]:
    """Pack an experiment's results into a zip, or a folder where ``output`` does not end in .zip.

    Returns
    -------
    list
        Lines to print.

    Raises
    ------
    TdbenchError
        Like `gather`, and if the output exists (unless ``force``) or cannot be written.
    """
    _check_output(output, results, force)
    contents = gather(plan, results, options, unfinished)
    crate = describe(plan, contents, licence)
    with _zip(output) if output.suffix == ".zip" else _folder(output) as temporary:
        if output.suffix == ".zip":
            _write_zip(crate, temporary)
        else:
            crate.write(temporary)
        # Results may change between description and copy, and disks may return wrong data.
        found = check_crate(temporary)
        if found.faults:
            raise TdbenchError(f"{output}: not written, because a file changed meanwhile: {found.faults[0]}; try again")
    return _told(output, found, [*left_out(contents)], len(contents.missing))


def _told(output: Path, found: Check, left: list[str], missing: int) -> list[str]:
    lines = [f"{output}: {found.files} files, {size(found.size)}; sha256 of its {METADATA}: {found.metadata_sha256}"]
    if missing:
        lines.append(f"unfinished: {missing} runs are not complete, and there is no report")
    return [*lines, *(f"left out: {line}" for line in left)]


def _check_output(output: Path, results: Path, force: bool) -> None:
    if not output.parent.is_dir():
        raise TdbenchError(f"--output {output}: no such folder {output.parent}; create it first")
    inner, outer = results.resolve(), output.resolve()
    if inner.is_relative_to(outer):
        raise TdbenchError(f"--output {output}: is the results folder or contains it; choose another")
    if not os.path.lexists(output):
        return
    if not force:
        raise TdbenchError(f"--output {output}: exists; choose another, or replace it with --force")
    if output.suffix == ".zip" and output.is_dir():
        raise TdbenchError(f"--output {output}: is a folder; --force does not replace a folder by a zip")
    if output.suffix == ".zip":
        regular_target(output)
    if output.suffix != ".zip" and not (output / METADATA).is_file():
        raise TdbenchError(f"--output {output}: is not a crate; --force replaces only crates: choose another")


def _write_zip(crate: ROCrate, path: Path) -> None:
    """Write a zip; the library's own writer prints a traceback if the disk is full."""
    with ZipFile(path, "w") as archive:
        for entity in (*crate.data_entities, crate.metadata):
            # Without a date, so that the same files give the same bytes.
            info = ZipInfo(unquote(entity.id))
            info.compress_type, info.external_attr = ZIP_DEFLATED, 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as file:
                for _, chunk in entity.stream(_CHUNK):
                    file.write(chunk)


@contextmanager
def _zip(output: Path) -> Iterator[Path]:
    with atomic_path(output) as temporary:
        yield temporary


@contextmanager
def _folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside ``output``; it replaces ``output`` after the block, or is removed on failure."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent) as scratch:
            made, old = Path(scratch) / "crate", Path(scratch) / "old"
            made.mkdir()
            yield made
            if output.exists():
                output.rename(old)
            made.rename(output)
    except (OSError, shutil.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise TdbenchError(f"{output}: cannot be written ({said})") from error
