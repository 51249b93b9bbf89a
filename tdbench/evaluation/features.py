"""Feature extractors, and features kept in files."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from tdbench.distributed import World
from tdbench.errors import TdbenchError
from tdbench.files import atomic_path, read_json
from tdbench.layout import DatasetLayout

# Images that a large network sees at once: more need gigabytes for its activations and are no faster on a CPU.
CHUNK = 16
_CONTENT = "content"


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
    logits : callable or None
        (N, D) features -> (N, K) unnormalised log-probabilities of the classes that the network was trained on, where
        it goes on from its features to classes.
    """

    name: str
    checksum: str
    resize: str
    extract: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None

    @property
    def view(self) -> tuple[str, str]:
        """What its features depend on: extractors of the same view give the same ones."""
        return self.checksum, self.resize


class Statistics(NamedTuple):
    """What the Fréchet distance sees of a set of features, float64."""

    mean: np.ndarray
    """(D,)."""
    covariance: np.ndarray
    """(D, D), with n - 1, as both libraries have it."""

    @classmethod
    def of(cls, features: np.ndarray) -> Self:
        """Those of (N, D) features."""
        return cls(features.mean(axis=0), np.cov(features, rowvar=False))


@dataclass(frozen=True)
class ReferenceFeatures:
    """Features of a data set as one library extracts them.

    Attributes
    ----------
    features : np.ndarray
        (N, D) float64.
    facts : dict
        Library and version, extractor, resize mode, N, checksums.
    statistics : Statistics
        Of the features; reckoned once, since those of many take longer than a distance.
    """

    features: np.ndarray
    facts: dict[str, Any]
    statistics: Statistics


def save_reference(path: Path, reference: ReferenceFeatures) -> None:
    facts = reference.facts | {_CONTENT: _checksum(reference)}
    with atomic_path(path) as temporary:
        np.savez(
            temporary, features=reference.features, facts=np.array(json.dumps(facts)),
            **reference.statistics._asdict(),
        )  # fmt: skip


def _checksum(reference: ReferenceFeatures) -> str:
    """SHA-256 of all that a reference holds: the checksums in a zip do not cover the zip's own records."""
    digest = hashlib.sha256(json.dumps(reference.facts, sort_keys=True).encode())
    for array in (reference.features, *reference.statistics):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_reference(path: Path) -> ReferenceFeatures:
    """Read what `save_reference` wrote.

    Raises
    ------
    TdbenchError
        If it is missing or damaged.
    """
    with _opened(path) as archive:
        statistics, facts = Statistics(archive["mean"], archive["covariance"]), json.loads(str(archive["facts"]))
        expected = facts.pop(_CONTENT, None)
        reference = ReferenceFeatures(archive["features"], facts, statistics)
        # Earlier versions of tdbench wrote none.
        if expected is not None and _checksum(reference) != expected:
            raise ValueError("its content has another checksum than when it was written")
        return reference


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a reference without its features, which may be large; raises as `load_reference` does."""
    with _opened(path) as archive:
        facts: dict[str, Any] = json.loads(str(archive["facts"]))
    facts.pop(_CONTENT, None)
    return facts


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(
            f"{path}: no readable reference features ({error}); run `tdbench reference` again"
        ) from error


def as_rgb(images: Tensor) -> Tensor:
    """Grey images three times over; colour images as they are."""
    return images.expand(-1, 3, -1, -1)


def in_chunks(extract: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``extract`` on `CHUNK` images at a time, whatever the size of the batch."""
    return lambda images: torch.cat([extract(chunk) for chunk in images.split(CHUNK)])


def features_together(
    images: np.ndarray, batch_size: int, world: World, features: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Features (N, D) float64 of images (N, C, H, W), extracted by several processes; all get them.

    Parameters
    ----------
    features : callable
        A library's features of some of the images. Each process gets whole batches, the same whatever the number of
        processes, so that the features are the same too.
    """
    if world.count == 1:
        return features(images)
    batches = np.array_split(np.arange(len(images)), range(batch_size, len(images), batch_size))
    own = np.concatenate(batches[world.rank :: world.count] or [np.arange(0)])
    found = features(images[own]) if len(own) else np.zeros((0, 0))
    # The leader has the first batch, hence knows the length of a feature vector.
    whole = torch.zeros(len(images), world.leaders(found.shape[1]), dtype=torch.float64)
    if len(own):
        whole[torch.from_numpy(own)] = torch.from_numpy(found)
    return world.sum(whole).numpy()


def describe_extractor(name: str, libraries: Iterable[str], files: DatasetLayout) -> str:
    """A line for people on what an extractor is worth, or where its features come from."""
    if name == "classifier":
        facts = read_json(files.classifier_report, "tdbench classifier")
        return f"{name}: {facts['test_accuracy']:.1%} of {facts['test_images']} held-out images right"
    references = [read_facts(path) for path in files.references(name, libraries)]
    origins = [f"weights {facts['weights'][:12]}, {facts['resize']}" for facts in references]
    return f"{name}: {'; '.join(dict.fromkeys(origins))}"
