"""How fast the parts of an experiment go, and where each figure is from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import OWN
from tdbench.workflow.budget import Throughput

Speed = TypeVar("Speed")

FEATURES_PER_S = {
    "inception": {"clean-fid": 5.2, "clean-fid-legacy-tensorflow": 5.2, "torch-fidelity": 5.2},
    "classifier": {"clean-fid": 5000.0, "torch-fidelity": 5000.0},
}
"""Extractor -> library -> images a second and core.

Inception's was measured for torch-fidelity on one core of an AMD EPYC, and estimated for clean-fid from a batch that
was filled up. The classifier's is an assumption without weight.
"""

DISTANCES_S = {"clean-fid": 65.0, "clean-fid-legacy-tensorflow": 65.0, "torch-fidelity": 1220.0}
"""Library -> core seconds of the distances of one set of 50,000 images with 2,048 features: single timings
of the parts, scaled to that number; some 40 s for each FID are an estimate."""

DECODING_S = {"cifar10": 1e-4, "digits": 1e-4, "ffhq": 0.03, "afhqv2": 0.03}
"""Source -> core seconds an image when a data set is made: docs/data.md."""


@dataclass(frozen=True)
class Rates:
    """What the simulation multiplies the work with."""

    throughput: Throughput
    """Operations of the networks that a GPU does in a second."""
    efficiency: float = 0.9
    """n GPUs or processes that share a job, for n > 1, are as fast as n times this; an assumption."""
    start_s: float = 7.0
    """From the start of a job to its work, and from there to its end: 5 to 7 s where Python and torch are started."""
    classifier_s: float = 10.0
    """Of training the classifier whose activations serve as features."""
    report_s: float = 60.0
    """Of a job of tables, of the page, or of the tracking; an assumption without weight beside days."""

    def decoding_s(self, source: str) -> float:
        """Core seconds an image when a data set is made.

        Raises
        ------
        TdbenchError
            If that is not known of the source.
        """
        return _known("source", source, DECODING_S)

    def extraction_s(self, features: str, libraries: Iterable[str]) -> float:
        """Core seconds an image: once a library by Inception, since each has its own, and else once for all.

        Raises
        ------
        TdbenchError
            If that is not known of the features.
        """
        speeds = _known("features", features, FEATURES_PER_S)
        each = [1 / speeds[library] for library in libraries]
        return sum(each) if features in OWN else max(each)

    def distances_s(self, features: str, library: str, images: int) -> float:
        """Core seconds of the distances of one set of samples: by the square of its images, which is what grows.

        Classifier features are too few to count.
        """
        return DISTANCES_S[library] * (images / 50_000) ** 2 if features in OWN else 0.0


def _known(kind: str, name: str, speeds: dict[str, Speed]) -> Speed:
    if name not in speeds:
        raise TdbenchError(f"{kind} {name!r}: its speed is not known; known: {', '.join(speeds)}")
    return speeds[name]
