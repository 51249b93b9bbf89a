"""The floor of FID: what a perfect sampler would score with as many samples.

FID of N samples is not zero even if they come from the right distribution, because their mean and covariance are
estimates. Two perfect samplers give the floor: the normal distribution with the reference's own mean and covariance,
and the data themselves, N images against the rest. A sampler that scores below the second one is closer to the images
of the reference than other images of the same kind are.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tdbench.evaluation.features import ReferenceFeatures, Statistics, load_reference
from tdbench.evaluation.scores import MODULES
from tdbench.records.floor import Floor, Floors, Spread
from tdbench.records.layout import DatasetLayout
from tdbench.runtime import advice
from tdbench.runtime.device import choose_device
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import Bar, progress
from tdbench.runtime.provenance import provenance
from tdbench.seeds import derive_seed

DRAWS = 20
"""Perfect sample sets of each kind. The standard deviation of 20 is known to 16 %."""


def normal_samples(reference: Statistics, samples: int, source: np.random.Generator) -> np.ndarray:
    """(N, D) features from the normal distribution with the reference's mean and covariance."""
    # Features may depend on each other linearly, so the covariance may be singular.
    values, vectors = np.linalg.eigh(reference.covariance)
    root = vectors * np.sqrt(values.clip(min=0))
    found: np.ndarray = reference.mean + source.standard_normal((samples, len(values))) @ root.T
    return found


def split(features: np.ndarray, samples: int, source: np.random.Generator) -> tuple[Statistics, Statistics]:
    """Statistics of N images of the data, chosen at random, and of the rest."""
    order = source.permutation(len(features))
    return Statistics.of(features[order[:samples]]), Statistics.of(features[order[samples:]])


def normal_floor(library: str, reference: ReferenceFeatures, samples: int, draws: int = DRAWS) -> Iterator[float]:
    """FID of normal samples against the reference, by a library; one value for each draw."""
    for draw in range(draws):
        source = np.random.default_rng(derive_seed(0, "floor", "normal", samples, draw))
        found = Statistics.of(normal_samples(reference.statistics, samples, source))
        yield MODULES[library].distance(found, reference.statistics)


def data_floor(library: str, reference: ReferenceFeatures, samples: int, draws: int = DRAWS) -> Iterator[float]:
    """FID of N images of the data against the rest; none if the rest would be fewer than N."""
    for draw in range(draws if has_data_floor(len(reference.features), samples) else 0):
        source = np.random.default_rng(derive_seed(0, "floor", "data", samples, draw))
        yield MODULES[library].distance(*split(reference.features, samples, source))


def has_data_floor(images: int, samples: int) -> bool:
    """Whether as many images are left as are chosen."""
    return images >= 2 * samples


def _floor(library: str, reference: ReferenceFeatures, samples: int, bar: Bar) -> Floor:
    def counted(values: Iterable[float]) -> Iterator[float]:
        for value in values:
            bar.update(1)
            yield value

    normal, data = (list(counted(kind(library, reference, samples))) for kind in (normal_floor, data_floor))
    return Floor(
        library=library,
        samples=samples,
        images=len(reference.features),
        normal=Spread.of(normal),
        data=Spread.of(data) if data else None,
    )


def write_floors(files: DatasetLayout, features: str, libraries: Iterable[str], samples: int, threads: int) -> Path:
    """Compute the floors of FID at ``samples`` samples for each library, and write them.

    Libraries that see the images alike have the same floor; it is computed once.

    Raises
    ------
    TdbenchError
        If a file of reference features is missing or damaged.
    """
    choose_device("cpu", threads)
    paths = {library: files.reference(features, library) for library in libraries}
    command = {library: advice.reference(path, features, [library]) for library, path in paths.items()}
    references = {library: load_reference(path, command[library]) for library, path in paths.items()}
    views = {library: (found.facts.weights, found.facts.resize) for library, found in references.items()}
    # The first library that sees the images in a way computes the floor for the others that see them alike.
    first = {view: library for library, view in reversed(views.items())}
    kinds = sum(1 + has_data_floor(len(references[library].features), samples) for library in first.values())
    with progress(f"floor of {samples} samples", kinds * DRAWS, "set") as bar:
        floors = {view: _floor(library, references[library], samples, bar) for view, library in first.items()}
    rows = [floors[view].model_copy(update={"library": library}) for library, view in views.items()]
    checksums = {library: sha256(path) for library, path in paths.items()}
    path = files.floor(features, samples)
    write_json(path, Floors(floors=rows, references=checksums, provenance=provenance()))
    return path
