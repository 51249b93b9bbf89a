"""Feature extractors, and features kept in files."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import EXTRACTORS
from tdbench.records.layout import DatasetLayout
from tdbench.records.schema import Reference, checked_record
from tdbench.runtime import advice
from tdbench.runtime.arrays import read_arrays
from tdbench.runtime.distributed import World
from tdbench.runtime.files import atomic_path, parse_json

# Images per call of a large network: more need gigabytes of activations and are not faster on a CPU.
CHUNK = 16


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
        it maps its features to classes.
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
    facts : Reference
        Library and version, extractor, resize mode, N, checksums.
    statistics : Statistics
        Of the features; computed once, because for many images that takes longer than a distance.
    """

    features: np.ndarray
    facts: Reference
    statistics: Statistics


def load_from_plugin(name: str, library: str, files: DatasetLayout) -> FeatureExtractor:
    """An extractor that a plug-in registered. A `TdbenchError` names the plug-in if loading or extracting fails."""
    row = EXTRACTORS[name]
    where = f"feature extractor {name} of {row.plugin}"

    def call(function: Callable[..., Any], *arguments: object) -> Any:
        try:
            return function(*arguments)
        except (TdbenchError, OSError):
            raise
        except Exception as error:  # anything may go wrong in the user's code
            raise TdbenchError(f"{where}: {type(error).__name__}: {error}") from error

    found = call(resolve_name(row.loader), library, files, None)
    if not isinstance(found, FeatureExtractor) or found.name != name:
        raise TdbenchError(f"{where}: its loader returned {found!r:.60}; expected a FeatureExtractor named {name!r}")

    def extract(images: Tensor) -> Tensor:
        features, expected = call(found.extract, images), (len(images), row.dimensions)
        if not isinstance(features, Tensor) or features.shape != expected:
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise TdbenchError(f"{where}: extract returned {got}; expected a tensor of shape {expected}")
        return features

    return replace(found, extract=extract)


def save_reference(path: Path, reference: ReferenceFeatures) -> None:
    written = reference.facts.to_json()
    facts = written | {"content": _checksum(reference, written)}
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            features=reference.features,
            facts=np.array(json.dumps(facts)),
            **reference.statistics._asdict(),
        )


def _checksum(reference: ReferenceFeatures, facts: dict[str, Any]) -> str:
    """SHA-256 of all that a reference holds: the checksums in a zip do not cover the zip's own records.

    ``facts`` are those of the file. It may hold more of them than this version of tdbench knows.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (reference.features, *reference.statistics):
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_reference(path: Path, made_by: str | None = None) -> ReferenceFeatures:
    """Read what `save_reference` wrote; ``made_by`` is the command that writes it again, for messages.

    Raises
    ------
    TdbenchError
        If it is missing or damaged.
    """
    found = _read(path, made_by, "features", "facts", "mean", "covariance")
    features, mean, covariance = (found[name] for name in ("features", "mean", "covariance"))
    depth = features.shape[-1] if features.ndim == 2 else 0
    shapes = mean.shape == (depth,) and covariance.shape == (depth, depth) and len(features) > 0 < depth
    floats = all(array.dtype == np.float64 for array in (features, mean, covariance))
    if not (shapes and floats and all(np.isfinite(array).all() for array in (features, mean, covariance))):
        said = "features (N, D), mean (D,) and covariance (D, D) are not float64, or not finite"
        raise _unreadable(path, made_by, said)
    facts, stored, expected = _facts(path, made_by, found["facts"])
    reference = ReferenceFeatures(features, facts, Statistics(mean, covariance))
    if expected is not None and _checksum(reference, stored) != expected:
        raise _unreadable(path, made_by, "its content has another checksum than when it was written")
    return reference


def read_facts(path: Path, made_by: str | None = None) -> Reference:
    """The facts of a reference without its features, which may be large; raises as `load_reference` does."""
    return _facts(path, made_by, _read(path, made_by, "facts")["facts"])[0]


def _read(path: Path, made_by: str | None, *names: str) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path, *names)
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise _unreadable(path, made_by, error) from error


def _facts(path: Path, made_by: str | None, stored: np.ndarray) -> tuple[Reference, dict[str, Any], str | None]:
    """The facts of a file: checked, as they are stored, and the checksum of its content.

    Earlier versions of tdbench did not write the checksum.
    """
    try:
        content = parse_json(str(stored))
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, made_by, error) from error
    expected = content.pop("content", None) if isinstance(content, dict) else None
    return checked_record(f"{path}: facts", content, made_by, Reference), content, expected


def _unreadable(path: Path, made_by: str | None, said: object) -> TdbenchError:
    return TdbenchError(f"{path}: no readable reference features ({said}); {advice.again(made_by)}")


def as_rgb(images: Tensor) -> Tensor:
    """Grey images repeated to three channels; colour images unchanged."""
    return images.expand(-1, 3, -1, -1)


def in_chunks(extract: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """``extract`` on `CHUNK` images at a time, for any batch size."""
    return lambda images: torch.cat([extract(chunk) for chunk in images.split(CHUNK)])


def features_together(
    images: np.ndarray, batch_size: int, world: World, features: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Features (N, D) float64 of images (N, C, H, W), extracted by several processes; all get them.

    Parameters
    ----------
    features : callable
        A library's features of some of the images. Each process gets whole batches. Batches and features do not depend
        on the number of processes.
    """
    if world.count == 1:
        return features(images)
    batches = np.array_split(np.arange(len(images)), range(batch_size, len(images), batch_size))
    own = np.concatenate(batches[world.rank :: world.count] or [np.arange(0)])
    found = features(images[own]) if len(own) else np.zeros((0, 0))
    # The leader has the first batch, so it knows the length of a feature vector.
    whole = torch.zeros(len(images), world.broadcast(found.shape[1]), dtype=torch.float64)
    if len(own):
        whole[torch.from_numpy(own)] = torch.from_numpy(found)
    return world.sum(whole).numpy()


def describe_references(files: DatasetLayout, libraries: Iterable[str], name: str) -> str:
    """Where an extractor's features come from, for people."""
    references = []
    for library in libraries:
        path = files.reference(name, library)
        references.append(read_facts(path, advice.reference(path, name, [library], plugin=EXTRACTORS[name].plugin)))
    origins = [f"weights {facts.weights[:12]}, {facts.resize}" for facts in references]
    return f"{name}: {'; '.join(dict.fromkeys(origins))}"
