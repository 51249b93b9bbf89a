"""Feature extractor ``pixels``: an image's own numbers, for images so small that a network sees nothing in them.

The Fréchet distance is then that of the images themselves. It needs no weights, and its floor is low from a few
thousand samples on, because there are few numbers.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from tdbench.data.archive import archive_size
from tdbench.data.loading import to_unit_range
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import FeatureExtractor
from tdbench.experiment.extractors import too_large
from tdbench.records.layout import DatasetLayout

NAME = "pixels"
_VIEW = hashlib.sha256(b"the numbers of an image, channel by channel and row by row, in [-1, 1]").hexdigest()
"""In place of the checksum of weights."""


def load(library: str, files: DatasetLayout, given: Path | None) -> FeatureExtractor:
    """The extractor, the same for every library.

    Raises
    ------
    TdbenchError
        If the images of the data set are too large for it.
    """
    size = archive_size(files.archive)
    if size is not None and (wrong := too_large(NAME, size[0])) is not None:
        raise TdbenchError(f"{files.archive}: features {NAME!r}: {wrong}")
    return FeatureExtractor(NAME, _VIEW, "native", extract)


def extract(images: Tensor) -> Tensor:
    """(N, C, H, W) images 0..255 -> (N, C·H·W) in [-1, 1]."""
    return to_unit_range(images).flatten(1)


def describe(files: DatasetLayout, libraries: Iterable[str], name: str) -> str:
    """What the features are, for people."""
    return f"{name}: the images' own numbers in [-1, 1]"
