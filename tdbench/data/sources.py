"""Where images come from; a new source is a function here and a line in `SOURCES`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tdbench.data.archive import archive_size, read_archive
from tdbench.data.cifar10 import read_cifar10
from tdbench.data.folder import read_folder, resized
from tdbench.data.images import LARGEST_SIDE, SMALLEST_SIDE
from tdbench.data.patches import read_patches
from tdbench.data.raw import RawImages, checked_images
from tdbench.errors import TdbenchError


class Nominal(NamedTuple):
    """What is known of a data set before it is at hand, to plan with; 0 classes means no labels."""

    resolution: int
    channels: int
    classes: int
    images: int


class Source(NamedTuple):
    """A source of images.

    Attributes
    ----------
    read : callable
        (path, resolution) -> RawImages, called with what `check_source` lets through.
    path : str
        Whether a path is needed, may be given, or is refused.
    wants : str
        What the path leads to, for messages.
    resolution : int or str
        The default where images are resized; "required" where there is none; "optional" where images are resized only
        if one is given; "none" where images stay as they are.
    nominal : Nominal or None
        At the default resolution; None where it is the user's data that decides.
    origin : str
        The plug-in that brought it; empty for tdbench's own.
    size : callable or None
        Path -> resolution and channels of the images there, where that is known before they are read; None if not.
    """

    read: Callable[[Path | None, int | None], RawImages]
    path: Literal["none", "optional", "required"]
    wants: str
    resolution: int | Literal["none", "optional", "required"]
    nominal: Nominal | None
    origin: str = ""
    size: Callable[[Path], tuple[int, int] | None] | None = None


def digits(path: Path | None = None, resolution: int | None = None) -> RawImages:
    """The 1,797 handwritten digits that scikit-learn ships: 8x8, grey, 10 classes, 17 grey levels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return RawImages(images[:, None], bunch.target.astype(np.int64))


def archive(path: Path | None, resolution: int | None = None) -> RawImages:
    """An existing archive in EDM's format; it is checked, and its images are stored again as PNG."""
    assert path is not None
    found = read_archive(path)
    return _fitted(RawImages(found.images, found.labels, found.class_names), resolution)


def cifar10(path: Path | None, resolution: int | None = None) -> RawImages:
    """CIFAR-10's training images, downloaded or from an official archive."""
    return _fitted(read_cifar10(path), resolution)


def _fitted(found: RawImages, resolution: int | None) -> RawImages:
    return found if resolution is None else found._replace(images=resized(found.images, resolution))


def folder(path: Path | None, resolution: int | None) -> RawImages:
    """Any folder of images; sub-folders are classes."""
    assert path is not None and resolution is not None
    return read_folder(path, resolution, labelled=True)


def patches(path: Path | None = None, resolution: int | None = None) -> RawImages:
    """50,000 crops of two photographs that scikit-learn ships: 8x8, colour, without labels."""
    return read_patches()


def ffhq(path: Path | None, resolution: int | None) -> RawImages:
    """Flickr-Faces-HQ without labels, from its 70,000 images (sub-folders 00000, 01000, ... are not classes)."""
    return _published("ffhq", path, resolution)


def afhqv2(path: Path | None, resolution: int | None) -> RawImages:
    """AFHQv2 without labels, from its 15,803 images.

    As for EDM, these are all images of the data set, train and test, cats, dogs and wild animals alike: the path
    is that of the whole folder, and its sub-folders are not classes.
    """
    return _published("afhqv2", path, resolution)


def _published(source: str, path: Path | None, resolution: int | None) -> RawImages:
    """A known data set in colour without labels, from a folder of originals or from an archive of the right size."""
    assert path is not None and resolution is not None
    if path.suffix.lower() == ".zip":
        images = read_archive(path).images
        if images.shape[2] != resolution:
            raise TdbenchError(
                f"{path}: holds images of {images.shape[2]}x{images.shape[2]}, but {source} was asked for at "
                f"{resolution}x{resolution}; give the folder of the originals, or another resolution"
            )
    else:
        images = read_folder(path, resolution, labelled=False).images
    nominal = SOURCES[source].nominal
    assert nominal is not None
    if images.shape[1] != nominal.channels:
        raise TdbenchError(f"{path}: all images are grey, but {source} is in colour; give the path of {source} itself")
    if len(images) != nominal.images:
        print(
            f"tdbench: warning: {path}: {source} has {nominal.images:,} images, found {len(images):,}; "
            "scores will not compare with published ones",
            file=sys.stderr,
        )
    return RawImages(images, None)


_ORIGINALS = "a folder of the original images, or to a zip in EDM's format"
SOURCES: dict[str, Source] = {
    "digits": Source(digits, "none", "", "none", Nominal(8, 1, 10, 1_797)),
    "archive": Source(archive, "required", "a zip in EDM's format", "optional", None, size=archive_size),
    "cifar10": Source(cifar10, "optional", "an official archive", "optional", Nominal(32, 3, 10, 50_000)),
    "patches": Source(patches, "none", "", "none", Nominal(8, 3, 0, 50_000)),
    "folder": Source(folder, "required", "a folder of images", "required", None),
    "ffhq": Source(ffhq, "required", _ORIGINALS, 64, Nominal(64, 3, 0, 70_000)),
    "afhqv2": Source(afhqv2, "required", _ORIGINALS, 64, Nominal(64, 3, 0, 15_803)),
}


def check_source(source: str, path: Path | None, resolution: int | None) -> None:
    """Whether a source takes these settings; nothing is read.

    Raises
    ------
    ValueError
        In plain words, for a message that names the file and the key.
    """
    if source not in SOURCES:
        raise ValueError(f"source {source!r}: no such data source; known: {', '.join(SOURCES)}")
    known = SOURCES[source]
    if path is None and known.path == "required":
        raise ValueError(f"source {source}: needs a path to {known.wants}")
    if path is not None and known.path == "none":
        raise ValueError(f"source {source}: takes no path, got {path}")
    if resolution is None and known.resolution == "required":
        raise ValueError(f"source {source}: needs a resolution to resize the images to, such as 64")
    if resolution is not None and known.resolution == "none":
        raise ValueError(f"source {source}: takes no resolution, since images stay as they are; got {resolution}")
    if resolution is not None and not SMALLEST_SIDE <= resolution <= LARGEST_SIDE:
        raise ValueError(
            f"source {source}: resolution {resolution}: must be at least {SMALLEST_SIDE} and at most {LARGEST_SIDE:,}"
        )


def read_source(source: str, path: Path | None, resolution: int | None) -> RawImages:
    """Images of a source, resized to its default resolution where none is given.

    Raises
    ------
    TdbenchError
        If the source does not take these settings, its data is missing or damaged, or a plug-in's function fails
        or gives what are no images.
    """
    try:
        check_source(source, path, resolution)
    except ValueError as error:
        raise TdbenchError(f"data {error}") from error
    known = SOURCES[source]
    default = known.resolution if isinstance(known.resolution, int) else None
    giver = f"data source {source}" + (f" of {known.origin}" if known.origin else "")
    try:
        found = known.read(path, default if resolution is None else resolution)
    except (TdbenchError, OSError):
        raise
    except Exception as error:  # anything may go wrong in the user's code
        if not known.origin:
            raise
        raise TdbenchError(f"{giver}: {type(error).__name__}: {error}") from error
    return checked_images(found, giver)
