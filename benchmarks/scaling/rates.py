"""Speeds of the parts of an experiment, with the source of each figure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import LIBRARY_SPECIFIC
from tdbench.workflow.budget import Throughput

Speed = TypeVar("Speed")

FEATURES_PER_S = {
    "inception": {"clean-fid": 5.2, "clean-fid-legacy-tensorflow": 5.2, "torch-fidelity": 5.2},
    "classifier": {"clean-fid": 5000.0, "torch-fidelity": 5000.0},
}
"""Extractor -> library -> images per second and core.

Inception was measured for torch-fidelity on one core of an AMD EPYC, and estimated for clean-fid from a padded batch.
The value for the classifier is an assumption that has little effect.
"""

DISTANCES_S = {"clean-fid": 65.0, "clean-fid-legacy-tensorflow": 65.0, "torch-fidelity": 1220.0}
"""Library -> core seconds of the distances of one set of 50,000 images with 2,048 features. The parts were timed once
and scaled to that number; about 40 s for each FID are an estimate."""

DECODING_S = {"cifar10": 1e-4, "digits": 1e-4, "ffhq": 0.03, "afhqv2": 0.03}
"""Source -> core seconds per image to write a data set (docs/data.md)."""


@dataclass(frozen=True)
class Rates:
    """The rates of the simulation."""

    throughput: Throughput
    """Network FLOP/s of a GPU."""
    efficiency: float = 0.9
    """Speed-up of n > 1 GPUs or processes that share a job, divided by n; an assumption."""
    start_s: float = 7.0
    """Start and end of a job; starting Python and torch takes 5 to 7 s."""
    classifier_s: float = 10.0
    """Training of the classifier that extracts features."""
    report_s: float = 60.0
    """A job for tables, the page or the tracking; an assumption, negligible compared with days."""

    def decoding_s(self, source: str) -> float:
        """Return the core seconds per image to write a data set.

        Raises
        ------
        TdbenchError
            If it is unknown for the source.
        """
        return _known("source", source, DECODING_S)

    def extraction_s(self, features: str, libraries: Iterable[str]) -> float:
        """Return the core seconds per image. Each library has its own Inception; other features are extracted once.

        Raises
        ------
        TdbenchError
            If it is unknown for the features.
        """
        speeds = _known("features", features, FEATURES_PER_S)
        each = [1 / speeds[library] for library in libraries]
        return sum(each) if features in LIBRARY_SPECIFIC else max(each)

    def distances_s(self, features: str, library: str, images: int) -> float:
        """Return the core seconds of the distances of one set of samples; they grow with the square of its images.

        With the few features of the classifier they are negligible.
        """
        return DISTANCES_S[library] * (images / 50_000) ** 2 if features in LIBRARY_SPECIFIC else 0.0


def _known(kind: str, name: str, speeds: dict[str, Speed]) -> Speed:
    if name not in speeds:
        raise TdbenchError(f"{kind} {name!r}: its speed is unknown; known: {', '.join(speeds)}")
    return speeds[name]
