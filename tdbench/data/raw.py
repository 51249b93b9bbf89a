"""What a source of images gives, and the check that it is so."""

from typing import NamedTuple

import numpy as np

from tdbench.data.images import LARGEST_SIDE, SMALLEST_SIDE
from tdbench.errors import TdbenchError


class RawImages(NamedTuple):
    """Images as a source gives them: what an archive is made from.

    Attributes
    ----------
    images : np.ndarray
        (N, C, H, W) uint8, C 1 or 3, H = W.
    labels : np.ndarray or None
        (N,) int64 classes 0..K-1, or None without labels.
    class_names : list of str or None
        The name of each class, where it has any.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: list[str] | None = None


def checked_images(found: object, giver: str) -> RawImages:
    """What a source gave, if it is as `RawImages` says.

    Parameters
    ----------
    giver : str
        The source, for messages.

    Raises
    ------
    TdbenchError
        Names the giver, what was found, and what is expected.
    """
    if not isinstance(found, RawImages):
        raise TdbenchError(f"{giver}: gave {type(found).__name__}; expected tdbench.data.raw.RawImages(images, labels)")
    try:
        _check_pixels(found.images)
        _check_labels(found)
    except ValueError as error:
        raise TdbenchError(f"{giver}: {error}") from error
    labels = None if found.labels is None else found.labels.astype(np.int64, copy=False)
    return found._replace(labels=labels)


def _check_pixels(images: object) -> None:
    bytes_ = isinstance(images, np.ndarray) and images.dtype == np.uint8
    if not (isinstance(images, np.ndarray) and bytes_ and images.ndim == 4 and images.shape[1] in (1, 3)):
        raise ValueError(f"images: {described(images)}; expected uint8 (N, C, H, W) with C 1 or 3")
    if not len(images):
        raise ValueError("images: none; expected at least one")
    check_side(*images.shape[2:])


def check_side(height: int, width: int) -> None:
    """Refuse images that are not square, or too small or too large for any use.

    Raises
    ------
    ValueError
    """
    if height != width:
        raise ValueError(f"images of {width}x{height} pixels; expected square ones")
    if not SMALLEST_SIDE <= height <= LARGEST_SIDE:
        raise ValueError(
            f"images of {width}x{height} pixels; expected at least {SMALLEST_SIDE} and at most {LARGEST_SIDE:,} a side"
        )


def _check_labels(found: RawImages) -> None:
    labels, count = found.labels, len(found.images)
    if labels is None:
        if found.class_names:
            raise ValueError(f"class_names: {len(found.class_names)} names, but there are no labels")
        return
    if not (isinstance(labels, np.ndarray) and labels.dtype.kind in "iu" and labels.shape == (count,)):
        raise ValueError(f"labels: {described(labels)} for {count:,} images; expected int64 ({count},), or None")
    lowest, unused = int(labels.min()), np.setdiff1d(np.arange(int(labels.max()) + 1), labels)
    if lowest < 0 or len(unused):
        wrong = f"class {lowest}" if lowest < 0 else f"no image of class {unused[0]}"
        raise ValueError(f"labels: {wrong}; classes are 0, 1, ... without gaps")
    classes, names = int(labels.max()) + 1, found.class_names
    if names is not None and not (
        isinstance(names, list) and len(names) == classes and all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"class_names: {names!r:.60}; expected a list of {classes} names")


def described(array: object) -> str:
    """Type and shape, such as ``float32 (4, 3, 8, 8)``."""
    shape = getattr(array, "shape", None)
    return type(array).__name__ if shape is None else f"{getattr(array, 'dtype', '')} {tuple(shape)}".strip()
