"""Where images come from; a new source is a function here and a line in `SOURCES`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tdbench.data.archive import read_archive
from tdbench.errors import TdbenchError


class RawImages(NamedTuple):
    """(N, C, H, W) uint8 images and their (N,) classes, or None."""

    images: np.ndarray
    labels: np.ndarray | None


def digits(path: Path | None) -> RawImages:
    """The 1,797 handwritten digits that scikit-learn ships: 8x8, grey, 10 classes, 17 grey levels."""
    from sklearn.datasets import load_digits

    if path is not None:
        raise TdbenchError(f"data source digits: takes no path, got {path}")
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return RawImages(images[:, None], bunch.target.astype(np.int64))


def archive(path: Path | None) -> RawImages:
    """An archive in EDM's format that exists already; it is checked and its images stored anew as PNG."""
    if path is None:
        raise TdbenchError("data source archive: needs the path of a zip in EDM's format")
    found = read_archive(path)
    return RawImages(found.images, found.labels)


SOURCES: dict[str, Callable[[Path | None], RawImages]] = {"digits": digits, "archive": archive}
