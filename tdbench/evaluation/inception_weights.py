"""The files of Inception's weights: which files, where they are, how they are fetched.

clean-fid and torch-fidelity publish a file each, both converted from TensorFlow's graph of 2015-12-05. They are
kept in ``weights`` of the cache (`tdbench.runtime.downloads.cache_folder`), and nothing is read from them unless their
SHA-256 is the published one. An experiment can name files of its own instead (``evaluation.weights``).
"""

from collections.abc import Iterable
from pathlib import Path

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import PUBLISHERS
from tdbench.records.layout import weights_record
from tdbench.runtime import downloads
from tdbench.runtime.downloads import Published

# The addresses are the libraries' own. torch-fidelity's file is named after the first digits of its SHA-256; clean-fid
# gives none, and this one is what other projects found that pin it, such as k-diffusion.
PUBLISHED = {
    "clean-fid": Published(
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        95_607_719,
    ),
    "torch-fidelity": Published(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95_628_359,
    ),
}


def published_weights(publisher: str) -> Path:
    """The file that a library publishes, fetched into the cache if it is not there; its checksum is right.

    Raises
    ------
    TdbenchError
        If it cannot be had; says which file to put where.
    """
    return downloads.published_weights(
        PUBLISHED[publisher], f"features 'inception' of {publisher} need", "evaluation.weights"
    )


def all_published_weights(publishers: Iterable[str]) -> dict[str, Path]:
    """Publisher -> file, as `published_weights` gives it.

    Raises
    ------
    TdbenchError
        If some cannot be had: a line each.
    """
    found: dict[str, Path] = {}
    failed: list[str] = []
    for publisher in publishers:
        try:
            found[publisher] = published_weights(publisher)
        except TdbenchError as error:
            failed += error.mistakes
    if failed:
        raise TdbenchError(*failed)
    return found


def fetch_weights(libraries: Iterable[str], results: Path) -> list[Path]:
    """Have the files that these libraries publish, or all, in the cache, and a record of each in the results.

    Raises
    ------
    TdbenchError
        If a library publishes none, or some cannot be had: a line each.
    """
    chosen = list(dict.fromkeys(libraries)) or list(PUBLISHED)
    if unknown := [name for name in chosen if name not in PUBLISHED]:
        raise TdbenchError(f"--library {unknown[0]!r}: publishes no weights; known: {', '.join(PUBLISHED)}")
    found = all_published_weights(chosen)
    for publisher in found:
        downloads.write_weights_record(weights_record(results, "inception", publisher), publisher, PUBLISHED[publisher])
    return list(found.values())


def is_published(checksum: str, library: str) -> bool:
    """Whether a file with this SHA-256 is the one that ``library`` itself would use."""
    return checksum == PUBLISHED[PUBLISHERS[library]].sha256
