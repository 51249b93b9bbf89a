"""The one format of every data set: a zip of images with a dataset.json of labels.

It is the format that NVlabs' EDM and its followers read and write: PNG files (other lossless or JPEG
files are read too) and ``{"labels": [["00000/img00000000.png", 3], ...]}``, or ``"labels": null``.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from tdbench.data.decoding import FORMATS, SHOW_AFTER_S, allocate, decode_all, no_bombs, some
from tdbench.errors import TdbenchError
from tdbench.files import atomic_path, sha256
from tdbench.progress import progress

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_LARGEST_IMAGE, _LARGEST_LABELS = 2**26, 2**27
"""Bytes of a file once it is unpacked: an image's, and dataset.json's, which holds 40 an image."""
_MODES = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB", "YCbCr": "RGB", "CMYK": "RGB"}


class RawImages(NamedTuple):
    """(N, C, H, W) uint8 images and their (N,) int64 classes, or None without labels: what an archive is made from."""

    images: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class ImageSet:
    """Images of one size with their classes.

    Attributes
    ----------
    images : np.ndarray
        (N, C, H, W) uint8.
    labels : np.ndarray or None
        (N,) int64 classes 0..K-1, or None without labels.
    checksum : str
        SHA-256 of the archive.
    path : Path
        The archive.
    """

    images: np.ndarray
    labels: np.ndarray | None
    checksum: str
    path: Path

    @property
    def channels(self) -> int:
        return int(self.images.shape[1])

    @property
    def resolution(self) -> int:
        return int(self.images.shape[2])

    @cached_property
    def num_classes(self) -> int:
        """0 without labels."""
        return 0 if self.labels is None else int(self.labels.max()) + 1

    @cached_property
    def class_counts(self) -> list[int]:
        """Images of each class 0..K-1; empty without labels."""
        counts: list[int] = [] if self.labels is None else np.bincount(self.labels).tolist()
        return counts

    def summary(self) -> dict[str, int | str | list[int]]:
        return {
            "sha256": self.checksum,
            "images": len(self.images),
            "resolution": self.resolution,
            "channels": self.channels,
            "classes": self.num_classes,
            "class_counts": self.class_counts,
        }


def write_archive(path: Path, images: np.ndarray, labels: np.ndarray | None) -> None:
    """Write images (N, C, H, W) uint8, C in {1, 3}, and classes (N,); the same input gives the same bytes."""
    names = [f"{i // 1000:05d}/img{i:08d}.png" for i in range(len(images))]
    entries = None if labels is None else [[n, int(c)] for n, c in zip(names, labels, strict=True)]
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        progress(f"writing {path.name}", len(names), "img", SHOW_AFTER_S) as bar,
    ):
        for name, image in zip(names, images, strict=True):
            data = io.BytesIO()
            pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
            Image.fromarray(pixels).save(data, format="png")
            # ZipInfo's default date is 1980: the checksum does not depend on the day.
            archive.writestr(zipfile.ZipInfo(name), data.getvalue())
            bar.update()
        archive.writestr(zipfile.ZipInfo("dataset.json"), json.dumps({"labels": entries}))


def read_archive(path: Path) -> ImageSet:
    """Read and check an archive.

    Raises
    ------
    TdbenchError
        If the archive, its labels or any image is damaged; the message lists what is wrong.
    """
    if not path.is_file():
        raise TdbenchError(f"{path}: no such archive; `tdbench data` writes one")
    checksum = sha256(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES)
            if len(set(names)) < len(names):
                raise TdbenchError(
                    f"{path}: holds {len(names) - len(set(names))} image names twice; make the archive again"
                )
            classes = _read_labels(path, archive)
            if classes is not None:
                _compare_names(path, names, classes)
            if not names:
                raise TdbenchError(f"{path}: holds no images; expected files {', '.join(sorted(IMAGE_SUFFIXES))}")
            images = _read_images(path, archive, names)
    except TdbenchError:
        raise
    except Exception as error:  # zipfile raises many kinds for damaged directories
        raise TdbenchError(f"{path}: not a whole zip file ({error}); copy or make it again") from error
    labels = None if classes is None else np.array([classes[n] for n in names], dtype=np.int64)
    return ImageSet(images, labels, checksum, path)


def _read_labels(path: Path, archive: zipfile.ZipFile) -> dict[str, int] | None:
    """Class by image name, or None where the archive has no labels."""
    try:
        content = json.loads(_unpacked(archive, "dataset.json", _LARGEST_LABELS))
    except KeyError as error:
        raise TdbenchError(f'{path}: dataset.json is missing; without labels it holds {{"labels": null}}') from error
    except Exception as error:  # zlib and json raise many kinds for damaged data
        raise TdbenchError(f"{path}: dataset.json is not JSON ({error})") from error
    entries = content.get("labels") if isinstance(content, dict) else content
    if entries is None and isinstance(content, dict):
        return None
    expected = 'expected {"labels": [["name.png", class], ...]} with classes 0, 1, ...'
    if not isinstance(entries, list):
        raise TdbenchError(f"{path}: dataset.json: labels: not a list; {expected}")
    for entry in entries:
        well_formed = isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)
        if not (well_formed and type(entry[1]) is int and 0 <= entry[1] < 1_000_000):
            raise TdbenchError(f"{path}: dataset.json: labels: {json.dumps(entry)[:80]}; {expected}")
    classes = dict(entries)
    if len(classes) != len(entries):
        raise TdbenchError(f"{path}: dataset.json: labels: {len(entries) - len(classes)} images are named twice")
    unused = sorted(set(range(max(classes.values(), default=-1) + 1)) - set(classes.values()))
    if unused:
        raise TdbenchError(
            f"{path}: dataset.json: labels: no image of class {unused[0]}; classes are 0, 1, ... without gaps"
        )
    return classes


def _compare_names(path: Path, names: list[str], classes: dict[str, int]) -> None:
    missing, unlabelled = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
    if missing:
        raise TdbenchError(f"{path}: dataset.json labels {some(missing)} that the archive does not hold")
    if unlabelled:
        raise TdbenchError(f"{path}: dataset.json gives no label for {some(unlabelled)}; label all images or none")


def _read_images(path: Path, archive: zipfile.ZipFile, names: list[str]) -> np.ndarray:
    first, shape = _first_shape(archive, names)
    try:
        stack = allocate(len(names), *shape)
    except TdbenchError as error:
        raise TdbenchError(f"{path}: {error}") from error
    odd: list[str] = []

    def decode(i: int) -> None:
        with _opened(archive, names[i]) as image:
            found = _shape(image)
            pixels = np.asarray(image.convert(_MODES[image.mode]))
        if found != shape:
            odd.append(f"{names[i]} {_size(found)}")
        else:
            stack[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    damaged = decode_all(names, decode, f"reading {path.name}")
    if damaged:
        raise TdbenchError(f"{path}: cannot decode {some(damaged)}; make the archive again or leave them out")
    if odd or shape[1] != shape[2]:
        others = f", but there are {some(sorted(odd))}" if odd else ""
        raise TdbenchError(
            f"{path}: images must be square and of one size and mode: {names[first]} is {_size(shape)}{others}"
        )
    return stack


def _opened(archive: zipfile.ZipFile, name: str) -> Image.Image:
    return Image.open(io.BytesIO(_unpacked(archive, name, _LARGEST_IMAGE)), formats=FORMATS)


def _unpacked(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """A file's content; zipfile unpacks no more than the directory says, whatever is behind it."""
    size = archive.getinfo(name).file_size
    if size > largest:
        raise ValueError(f"unpacks to {size:,} bytes; at most {largest:,}")
    return archive.read(name)


def _shape(image: Image.Image) -> tuple[int, int, int]:
    """(C, H, W) as the file's head tells it."""
    # Alpha or 16 bits would be cut off without a word.
    if image.mode not in _MODES:
        raise ValueError(f"mode {image.mode}; expected 8 bits a channel, grey or colour, not transparent")
    return (1 if _MODES[image.mode] == "L" else 3, image.height, image.width)


def _first_shape(archive: zipfile.ZipFile, names: list[str]) -> tuple[int, tuple[int, int, int]]:
    """Index and shape of the first image that can be opened; what is wrong with others is found when decoding."""
    for i, name in enumerate(names):
        try:
            with no_bombs(), _opened(archive, name) as image:
                return i, _shape(image)
        except Exception:  # decoders and zlib raise many kinds for damaged data
            continue
    return 0, (1, 1, 1)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[2]}x{shape[1]} {'grey' if shape[0] == 1 else 'RGB'}"
