"""The file of VGG16's weights for LPIPS: which file, where it is, how it is fetched.

LPIPS (Zhang et al. 2018) is defined by the weights that torchvision publishes. They are kept in ``weights`` of the
cache (`tdbench.runtime.downloads.cache_folder`), and nothing is read from them unless their SHA-256 is the published
one. An experiment can name a file of its own instead (``training.distance_weights``). The package `lpips` brings the
rest.
"""

from collections.abc import Iterable
from pathlib import Path

from tdbench.errors import TdbenchError
from tdbench.records.layout import weights_record
from tdbench.runtime import downloads
from tdbench.runtime.downloads import Published
from tdbench.runtime.files import sha256

LIBRARY = "torchvision"
# The file's name ends in the first digits of its SHA-256, as torchvision checks it.
PUBLISHED = {
    LIBRARY: Published(
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
    )
}


def published_weights() -> Path:
    """The file that torchvision publishes, fetched into the cache if it is not there; its checksum is right.

    Raises
    ------
    TdbenchError
        If it cannot be had; says which file to put where.
    """
    return downloads.published_weights(PUBLISHED[LIBRARY], "distance 'lpips' needs", "training.distance_weights")


def fetch_weights(libraries: Iterable[str], results: Path) -> list[Path]:
    """Have the published file in the cache, and a record of it in the results, as `inception_weights` does.

    Raises
    ------
    TdbenchError
        If it is of no library that publishes it, or cannot be had.
    """
    if unknown := [name for name in libraries if name not in PUBLISHED]:
        raise TdbenchError(f"--library {unknown[0]!r}: publishes no weights of lpips; known: {', '.join(PUBLISHED)}")
    path = published_weights()
    downloads.write_weights_record(weights_record(results, "lpips", LIBRARY), LIBRARY, PUBLISHED[LIBRARY])
    return [path]


def distance_weights(given: Path | None) -> tuple[Path, str]:
    """The file to load and its SHA-256: a user's own, or the published one.

    Raises
    ------
    TdbenchError
        If it is not there or cannot be had.
    """
    if given is None:
        return published_weights(), PUBLISHED[LIBRARY].sha256
    if not given.is_file():
        raise TdbenchError(f"{given}: no such file; training.distance_weights names it")
    return given, sha256(given)


def is_published(checksum: str) -> bool:
    """Whether a file with this SHA-256 makes the distance LPIPS."""
    return checksum == PUBLISHED[LIBRARY].sha256


def unchanged(given: Path | None, checksum: str) -> bool:
    """Whether a training that used a file with this SHA-256 would use the same now, or its file is gone."""
    if given is None:
        return is_published(checksum)
    return not given.is_file() or sha256(given) == checksum
