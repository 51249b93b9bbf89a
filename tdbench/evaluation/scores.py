"""Scores of a run: what each library says of each set of samples against the data set."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tdbench.data.archive import ImageSet
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.classifier import load_classifier
from tdbench.evaluation.efficientnet import load_efficientnet
from tdbench.evaluation.features import (
    FeatureExtractor,
    ReferenceFeatures,
    Statistics,
    features_together,
    load_reference,
    save_reference,
)
from tdbench.evaluation.inception import load_inception
from tdbench.evaluation.measure import Samples, fid_spread_of_images, measure
from tdbench.evaluation.memorisation import nearest_in_data
from tdbench.experiment.extractors import DEFAULT_LIBRARIES, PUBLISHERS
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import read_sample_set, read_sampled, read_trained
from tdbench.runtime import advice
from tdbench.runtime.device import choose_device
from tdbench.runtime.distributed import ALONE, World
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import Bar, progress
from tdbench.runtime.progress_log import ProgressLog
from tdbench.runtime.provenance import provenance

_OF_PUBLISHER: dict[str, ModuleType] = {module.NAME: module for module in (clean_fid, torch_fidelity)}
MODULES = {library: _OF_PUBLISHER[publisher] for library, publisher in PUBLISHERS.items()}


def load_extractor(
    name: str, library: str, files: DatasetLayout, weights: Mapping[str, Path] | None = None
) -> FeatureExtractor:
    """The extractor ``name`` for a data set, as ``library`` uses it.

    Parameters
    ----------
    weights : mapping or None
        Publisher -> file of Inception's weights in place of the published one.
    """
    given = (weights or {}).get(PUBLISHERS[library])
    loaders: dict[str, Callable[[], FeatureExtractor]] = {
        "classifier": lambda: load_classifier(files.classifier, files.classifier_report),
        "efficientnet-lite0": load_efficientnet,
        "inception": lambda: load_inception(library, given),
    }
    return loaders[name]()


@torch.no_grad()
def write_references(
    data: ImageSet,
    features: str,
    batch_size: int,
    files: DatasetLayout,
    threads: int,
    libraries: Sequence[str] = DEFAULT_LIBRARIES,
    weights: Mapping[str, Path] | None = None,
) -> None:
    """Extract the data set's features as each library sees them, once for all experiments that use it.

    What a file holds already, of the same images, weights and library, is kept.

    Parameters
    ----------
    weights : mapping or None
        As for `load_extractor`.
    """
    if len(data.images) < 2:
        raise TdbenchError(f"{data.path}: 1 image; the covariance of features needs at least 2")
    choose_device("cpu", threads)
    # All before any is used: a missing file is reported at once.
    extractors = {name: load_extractor(features, name, files, weights) for name in libraries}
    found: dict[tuple[str, str], ReferenceFeatures] = {}
    log = ProgressLog(files.progress, "reference")
    with progress("reference features", len(libraries) * len(data.images), "img", log=log) as bar:
        for done, (name, extractor) in enumerate(extractors.items()):
            module, path = MODULES[name], files.reference(features, name)
            facts = {
                "library": name,
                "library_version": module.VERSION,
                "features": features,
                "weights": extractor.checksum,
                "resize": extractor.resize,
                "n": len(data.images),
                "data": data.checksum,
                "batch_size": batch_size,
            }
            if (kept := _kept(path, facts)) is not None:
                found.setdefault(extractor.view, kept)
                bar.skip(len(data.images))
                continue
            if extractor.view not in found:
                extracted = module.features(data.images, _counted(extractor, bar), batch_size)
                facts["extracted_by"] = name
                found[extractor.view] = ReferenceFeatures(extracted, facts, Statistics.of(extracted))
            same = found[extractor.view]
            facts |= {"extracted_by": same.facts["extracted_by"], "provenance": provenance()}
            save_reference(path, replace(same, facts=facts))
            # A library may have filled its last batch up, or had no need to extract.
            bar.update((done + 1) * len(data.images) - bar.n)


def _counted(extractor: FeatureExtractor, bar: Bar) -> FeatureExtractor:
    """An extractor that counts the images which it has seen: of a large network each takes a while."""

    def extract(images: Tensor) -> Tensor:
        found = extractor.extract(images)
        bar.update(len(images))
        return found

    return replace(extractor, extract=extract)


def _kept(path: Path, facts: dict[str, Any]) -> ReferenceFeatures | None:
    """The reference of a file that has these facts."""
    try:
        reference = load_reference(path)
    except TdbenchError:
        return None
    return reference if facts.items() <= reference.facts.items() else None


@torch.no_grad()
def evaluate_run(run: Run, layout: RunLayout, files: DatasetLayout, world: World = ALONE) -> None:
    """Score all sample sets of ``run`` and write scores.json: one row a library, metric and sample set.

    Several processes share the extraction of features; the leader computes the distances.
    """
    choose_device("cpu", run.training.threads)
    trained = read_trained(run, layout)
    sets = read_sampled(run, layout)
    libraries = run.evaluation.libraries
    settings = run.evaluation
    extractors = {name: load_extractor(settings.features, name, files, settings.weights) for name in libraries}
    references = {name: _matching_reference(run, files, name, extractors[name], trained["data"]) for name in libraries}
    rows, nearest, last_set = [], None, max(sets, key=lambda entry: tuple(_place(entry).values()))
    log = ProgressLog(layout.progress, "evaluate")
    with progress(f"{run.name} scores", len(sets) * len(references), "set", log=log) as bar:
        for entry in sets:
            pixels = read_sample_set(run, layout, entry).transpose(0, 3, 1, 2).copy()
            for name, scored, samples in score_set(run, entry, pixels, extractors, references, world):
                rows += scored
                if samples is not None and entry is last_set and name == libraries[0]:
                    nearest = _place(entry) | nearest_in_data(samples.features, references[name].features)
                bar.update(1)
    if world.leader:
        content = {
            "run": run.name,
            "evaluation": run.evaluation_settings(),
            "references": reference_checksums(run, files),
            "scores": rows,
            "nearest": nearest,
            "provenance": provenance(),
        }
        write_json(layout.scores, content)


def reference_checksums(run: Run, files: DatasetLayout) -> dict[str, str]:
    """Library -> SHA-256 of the reference features that a run is scored against."""
    features = run.evaluation.features
    return {name: sha256(files.reference(features, name)) for name in run.evaluation.libraries}


def _matching_reference(
    run: Run, files: DatasetLayout, library: str, extractor: FeatureExtractor, data: dict[str, Any]
) -> ReferenceFeatures:
    path, settings = files.reference(run.evaluation.features, library), run.evaluation
    command = advice.reference(path, settings.features, [library], settings.weights.get(PUBLISHERS[library]))
    reference = load_reference(path, command)
    wanted = {
        "weights": extractor.checksum,
        "resize": extractor.resize,
        "data": data["sha256"],
        "library_version": MODULES[library].VERSION,
    }
    run.check_data(len(reference.features))
    for key, value in wanted.items():
        if reference.facts[key] != value:
            raise TdbenchError(f"{path}: {key} is {reference.facts[key]!r}, expected {value!r}; run `{command}` again")
    return reference


def score_set(
    run: Run,
    entry: dict[str, Any],
    pixels: np.ndarray,
    extractors: dict[str, FeatureExtractor],
    references: dict[str, ReferenceFeatures],
    world: World,
) -> Iterator[tuple[str, list[dict[str, Any]], Samples | None]]:
    """Library, its rows of one sample set, and what was extracted; in all processes but the leader there is nothing."""
    settings = run.evaluation
    last = entry["snapshot_images"] == run.scored_snapshots()[-1]
    # Libraries that see the images alike share what was extracted, and what is the same for both.
    extracted: dict[tuple[str, str], Samples | None] = {}
    spreads: dict[tuple[str, str], float] = {}
    for name, reference in references.items():
        module, extractor, begun = MODULES[name], extractors[name], time.perf_counter()
        if extractor.view not in extracted:
            extract = partial(module.features, extractor=extractor, batch_size=settings.batch_size)
            features = features_together(pixels, settings.batch_size, world, extract)
            extracted[extractor.view] = Samples.of(features, extractor) if world.leader else None
        samples = extracted[extractor.view]
        if samples is None:
            yield name, [], None
            continue
        try:
            values = measure(module, samples, reference, settings, last)
        except TdbenchError as error:
            raise TdbenchError(f"{entry['file']} of {run.name}: {error}") from error
        if not all(math.isfinite(value) for value in values.values()):
            raise TdbenchError(
                f"{entry['file']} of {run.name}: {name} gives {values}; the samples' features are degenerate"
            )
        if last and settings.bootstrap and "fid" in values and extractor.view not in spreads:
            spreads[extractor.view] = fid_spread_of_images(samples.features, reference.statistics, settings.bootstrap)
        facts = {
            "snapshot_kimg": entry["snapshot_images"] / 1000,
            "steps": entry["steps"],
            "nfe": entry["nfe"],
            "sampler": run.sampling.sampler.kind,
            "library": name,
            "library_version": module.VERSION,
            "features": extractor.name,
            "resize": extractor.resize,
            "n": len(pixels),
            "reference_n": len(reference.features),
            "reference_data": reference.facts["data"],
            "samples": entry["sha256"],
            "seconds": time.perf_counter() - begun,
        }
        known = {"fid": spreads.get(extractor.view)}
        rows = [
            facts | {"metric": metric, "value": value, "spread_of_images": known.get(metric)}
            for metric, value in values.items()
        ]
        yield name, rows, samples


def _place(entry: dict[str, Any]) -> dict[str, int]:
    """Where a sample set stands in a run."""
    return {key: entry[key] for key in ("snapshot_images", "steps")}
