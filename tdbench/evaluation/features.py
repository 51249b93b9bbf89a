"""Feature extractors, and features kept in files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tdbench.errors import TdbenchError
from tdbench.files import atomic_path, read_json
from tdbench.layout import DatasetLayout


@dataclass(frozen=True)
class FeatureExtractor:
    """Maps images to the features whose distributions are compared.

    Attributes
    ----------
    name : str
    checksum : str
        SHA-256 of the weights.
    resize : str
        How images get to the size that it reads; ``native`` for not at all.
    extract : callable
        (N, C, H, W) images 0..255 -> (N, D).
    """

    name: str
    checksum: str
    resize: str
    extract: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ReferenceFeatures:
    """Features of a data set as one library extracts them.

    Attributes
    ----------
    features : np.ndarray
        (N, D) float64.
    facts : dict
        Library and version, extractor, resize mode, N, checksums.
    """

    features: np.ndarray
    facts: dict[str, Any]


def save_reference(path: Path, reference: ReferenceFeatures) -> None:
    with atomic_path(path) as temporary:
        np.savez(temporary, features=reference.features, facts=np.array(json.dumps(reference.facts)))


def load_reference(path: Path) -> ReferenceFeatures:
    """Read what `save_reference` wrote.

    Raises
    ------
    TdbenchError
        If it is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return ReferenceFeatures(archive["features"], json.loads(str(archive["facts"])))
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(
            f"{path}: no readable reference features ({error}); run `tdbench reference` again"
        ) from error


def describe_extractor(name: str, files: DatasetLayout) -> str:
    """A line for people on what an extractor is worth."""
    if name != "classifier":
        return name
    facts = read_json(files.classifier_report, "tdbench classifier")
    return f"{name}: {facts['test_accuracy']:.1%} of {facts['test_images']} held-out images right"
