"""dataset.json: the class of each image of an archive, and the names of the classes."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tdbench.data.decoding import some
from tdbench.errors import TdbenchError, printable

LABELS = "dataset.json"
_LARGEST = 2**27
"""Bytes of dataset.json once it is unpacked; it has 40 an image."""


class Labels(NamedTuple):
    """Class by image name, and the name of each class; None where the archive has none."""

    classes: dict[str, int] | None
    class_names: list[str] | None


def read_labels(path: Path, archive: zipfile.ZipFile, members: Mapping[str, str]) -> Labels:
    """What dataset.json of an archive says.

    Parameters
    ----------
    members : mapping
        Names of files as they are in the zip, by their names with slashes.

    Raises
    ------
    TdbenchError
        If it is missing, has no key ``labels``, or is not as the format says; names the key.
    """
    where = f"{path}: {LABELS}"
    if LABELS not in members:
        deeper = [name for name in members if name.endswith(f"/{LABELS}")]
        advice = f"it lies in {deeper[0]}: zip the content of that folder" if deeper else "write"
        raise TdbenchError(f'{where} is missing; {advice}; without labels it holds {{"labels": null}}')
    try:
        content = json.loads(unpacked(archive, members[LABELS], _LARGEST))
    except Exception as error:  # zlib and json raise many kinds for damaged data
        raise TdbenchError(f"{where} is not JSON ({error})") from error
    expected = 'expected {"labels": [["name.png", class], ...]} with classes 0, 1, ..., or {"labels": null}'
    if not isinstance(content, dict):
        raise TdbenchError(f"{where}: labels: {json.dumps(content)[:80]} is not a mapping; {expected}")
    if "labels" not in content:
        keys = ", ".join(map(json.dumps, content)) or "nothing"
        raise TdbenchError(f"{where}: labels: is missing, found {keys[:80]}; {expected}")
    entries = content["labels"]
    classes = None if entries is None else _checked_classes(where, entries, expected)
    return Labels(classes, _checked_class_names(where, content.get("class_names"), classes))


def _checked_classes(where: str, entries: Any, expected: str) -> dict[str, int]:
    if not isinstance(entries, list):
        raise TdbenchError(f"{where}: labels: not a list; {expected}")
    for entry in entries:
        well_formed = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)
        if not (well_formed and type(entry[1]) is int and 0 <= entry[1] < 1_000_000):
            raise TdbenchError(f"{where}: labels: {json.dumps(entry)[:80]}; {expected}")
    classes = {name.replace("\\", "/"): label for name, label in entries}
    if len(classes) != len(entries):
        raise TdbenchError(f"{where}: labels: {len(entries) - len(classes)} images are named twice")
    unused = sorted(set(range(max(classes.values(), default=-1) + 1)) - set(classes.values()))
    if unused:
        raise TdbenchError(f"{where}: labels: no image of class {unused[0]}; classes are 0, 1, ... without gaps")
    return classes


def _checked_class_names(where: str, names: Any, classes: dict[str, int] | None) -> list[str] | None:
    if names is None:
        return None
    count = len(set((classes or {}).values()))
    well_formed = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not well_formed or len(names) != count:
        raise TdbenchError(f"{where}: class_names: {json.dumps(names)[:80]}; expected a list of {count} names, or null")
    # Kept in files that hold no half of a surrogate pair, and shown in terminals.
    return [printable(name) for name in names]


def compare_names(path: Path, names: list[str], classes: dict[str, int]) -> None:
    """Refuse labels of images that an archive does not hold, and images without labels."""
    missing, unlabelled = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
    if missing:
        raise TdbenchError(f"{path}: dataset.json labels {some(missing)} that the archive does not hold")
    if unlabelled:
        raise TdbenchError(f"{path}: dataset.json gives no label for {some(unlabelled)}; label all images or none")


def unpacked(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """A file's content; zipfile unpacks at most what the directory says."""
    size = archive.getinfo(name).file_size
    if size > largest:
        raise ValueError(f"unpacks to {size:,} bytes; at most {largest:,}")
    return archive.read(name)
