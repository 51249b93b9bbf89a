"""The one format of every data set: a zip of images with a dataset.json of labels.

It is the format that NVlabs' EDM and its followers read and write: PNG files (`images.SUFFIXES` are read too) and
``{"labels": [["00000/img00000000.png", 3], ...]}``, or ``"labels": null``. Beside the labels stand the names of
the classes, ``"class_names": ["cat", ...]``, where there are any.
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from tdbench.data.decoding import SHOW_AFTER_S, allocate, decode_all, no_bombs, some
from tdbench.data.images import FORMATS, READ, channels, is_hidden, is_image, judge_others, plain
from tdbench.data.labels import LABELS, compare_names, read_labels, unpacked
from tdbench.data.raw import RawImages, check_side
from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.runtime import advice
from tdbench.runtime.files import atomic_path, sha256
from tdbench.runtime.progress import progress

__all__ = ["ImageSet", "RawImages", "read_archive", "write_archive"]

_LARGEST_IMAGE = 300_000_000
"""Bytes of an image's file once it is unpacked: a little more than the largest that is read has without compression."""


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
    class_names : list of str or None
        The name of each class, where the source has names.
    """

    images: np.ndarray
    labels: np.ndarray | None
    checksum: str
    path: Path
    class_names: list[str] | None = None

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

    def summary(self) -> DataSummary:
        """What is recorded of the data."""
        found = DataSummary(
            sha256=self.checksum,
            images=len(self.images),
            resolution=self.resolution,
            channels=self.channels,
            classes=self.num_classes,
            class_counts=self.class_counts,
        )
        # What is not known is left out.
        return found if self.class_names is None else found.model_copy(update={"class_names": self.class_names})

    def describe(self) -> str:
        """The summary on one line, for people."""
        facts = {
            key: value for key, value in self.summary().to_json().items() if key not in ("class_counts", "class_names")
        }
        line = ", ".join(f"{key} {value}" for key, value in facts.items())
        if not self.class_names:
            return line
        named = [f"{name} {count:,}" for name, count in zip(self.class_names, self.class_counts, strict=True)]
        return f"{line} ({', '.join(named[:10])}{', ...' if len(named) > 10 else ''})"


def summary_file(archive: Path) -> Path:
    """The path of an archive's summary: beside it, ``NAME.json`` for ``NAME.zip``, and for any other name too.

    Raises
    ------
    TdbenchError
        If the archive itself would be called so.
    """
    if archive.suffix.lower() == ".json":
        raise TdbenchError(f"{archive}: an archive is a zip, and its summary is the .json beside it; call it NAME.zip")
    # data.32 and data.64 are two archives.
    return archive.with_suffix(".json") if archive.suffix.lower() == ".zip" else Path(f"{archive}.json")


def write_archive(
    path: Path, images: np.ndarray, labels: np.ndarray | None, class_names: list[str] | None = None
) -> None:
    """Write images, classes and their names as `RawImages` has them; the same input gives the same bytes."""
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
        content = {"labels": entries} if class_names is None else {"labels": entries, "class_names": class_names}
        archive.writestr(zipfile.ZipInfo(LABELS), json.dumps(content))


def read_archive(path: Path) -> ImageSet:
    """Read and check an archive.

    Raises
    ------
    TdbenchError
        If the archive, its labels or any image is damaged; the message lists what is wrong.
    """
    if path.is_dir():
        raise TdbenchError(f"{path}: is a folder, not an archive; source folder reads a folder of images")
    if not path.is_file():
        raise TdbenchError(f"{path}: no such archive; `{advice.command('data', '--help')}` says how to make one")
    checksum = sha256(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
            names = sorted(name for name in members if is_image(name) and not is_hidden(name))
            labels = read_labels(path, archive, members)
            judge_others(path, (n for n in members if not (n == LABELS or is_image(n) or is_hidden(n))))
            if labels.classes is not None:
                compare_names(path, names, labels.classes)
            if not names:
                raise TdbenchError(f"{path}: holds no images; expected files {READ}")
            images = _read_images(path, archive, names, members)
    except TdbenchError:
        raise
    except Exception as error:  # zipfile raises many kinds for damaged directories
        raise TdbenchError(f"{path}: damaged zip file ({error}); copy or make it again") from error
    classes = None if labels.classes is None else np.array([labels.classes[n] for n in names], dtype=np.int64)
    return ImageSet(images, classes, checksum, path, labels.class_names)


def archive_size(path: Path) -> tuple[int, int] | None:
    """Resolution and channels of an archive by its first image; None where there is none that can be read yet."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _size_of_first(path.absolute(), found.st_mtime_ns, found.st_size)


@cache
def _size_of_first(path: Path, _written: int, _bytes: int) -> tuple[int, int] | None:
    """Of an archive as it is: asked for by every run that it serves."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if is_image(name) and not is_hidden(name))
            with no_bombs(), Image.open(io.BytesIO(unpacked(archive, name, _LARGEST_IMAGE)), formats=FORMATS) as image:
                return image.height, channels(image)
    except Exception:  # zipfile, zlib and decoders raise many kinds; whoever needs the images says what is wrong
        return None


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, str]:
    """File names in a zip, by their names with slashes; Windows may write backslashes."""
    given = [name for name in archive.namelist() if not name.endswith(("/", "\\"))]
    members = {name.replace("\\", "/"): name for name in given}
    if len(members) < len(given):
        raise TdbenchError(f"{path}: holds {len(given) - len(members)} file names twice; make the archive again")
    if members and all(name.endswith(".npy") for name in members):
        raise TdbenchError(
            f"{path}: holds NumPy arrays, as an npz does; an archive is a zip of image files and {LABELS}: write the "
            "images as PNG files into a folder and use source folder"
        )
    return members


def _read_images(path: Path, archive: zipfile.ZipFile, names: list[str], members: Mapping[str, str]) -> np.ndarray:
    def opened(name: str) -> Image.Image:
        return Image.open(io.BytesIO(unpacked(archive, members[name], _LARGEST_IMAGE)), formats=FORMATS)

    first, shape = _first_shape(opened, names)
    try:
        stack = allocate(len(names), *shape)
    except TdbenchError as error:
        raise TdbenchError(f"{path}: {error}") from error
    odd: list[str] = []

    def decode(i: int) -> None:
        with opened(names[i]) as image:
            found, pixels = _shape(image), np.asarray(plain(image))
        if found != shape:
            odd.append(f"{names[i]} {_size(found)}")
        else:
            stack[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    damaged = decode_all(names, decode, f"reading {path.name}")
    if damaged:
        raise TdbenchError(f"{path}: cannot use {some(damaged)}; make the archive again or leave them out")
    if odd or shape[1] != shape[2]:
        others = f", but there are {some(sorted(odd))}" if odd else ""
        raise TdbenchError(
            f"{path}: images must be square and of one size and mode: {names[first]} is {_size(shape)}{others}"
        )
    try:
        check_side(*shape[1:])
    except ValueError as error:
        raise TdbenchError(f"{path}: {error}") from error
    return stack


def _shape(image: Image.Image) -> tuple[int, int, int]:
    """(C, H, W) as the file's head tells it; images are square, or refused, so that turning them changes nothing."""
    return channels(image), image.height, image.width


def _first_shape(opened: Callable[[str], Image.Image], names: list[str]) -> tuple[int, tuple[int, int, int]]:
    """Index and shape of the first image that can be opened; what is wrong with others is found when decoding."""
    for i, name in enumerate(names):
        try:
            with no_bombs(), opened(name) as image:
                return i, _shape(image)
        except Exception:  # decoders and zlib raise many kinds for damaged data
            continue
    return 0, (1, 1, 1)


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[2]}x{shape[1]} {'grey' if shape[0] == 1 else 'RGB'}"
