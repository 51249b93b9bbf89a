"""Scores of a run: what each library says of each set of samples against the data set."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tdbench.data.archive import ImageSet
from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import (
    FeatureExtractor,
    ReferenceFeatures,
    Statistics,
    features_together,
    load_from_plugin,
    load_reference,
    save_reference,
)
from tdbench.evaluation.measure import Samples, measure
from tdbench.evaluation.memorisation import nearest_in_data
from tdbench.experiment.extractors import DEFAULT_LIBRARIES, EXTRACTORS, LIBRARIES
from tdbench.experiment.metrics import METRICS
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.schema import Reference, SampleSet, Score, Scored
from tdbench.records.stored import Records, RunRecords
from tdbench.runtime import advice
from tdbench.runtime.device import choose_device
from tdbench.runtime.distributed import ALONE, World
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import Bar, progress
from tdbench.runtime.progress_log import ProgressLog
from tdbench.runtime.provenance import provenance

MODULES: dict[str, ModuleType] = {name: resolve_name(library.module) for name, library in LIBRARIES.items()}


def load_extractor(
    name: str, library: str, files: DatasetLayout, weights: Mapping[str, Path] | None = None
) -> FeatureExtractor:
    """The extractor ``name`` for a data set, as ``library`` uses it.

    Parameters
    ----------
    weights : mapping or None
        Publisher -> file of Inception's weights in place of the published one.
    """
    given = (weights or {}).get(LIBRARIES[library].publisher)
    if EXTRACTORS[name].plugin:
        return load_from_plugin(name, library, files)
    found: FeatureExtractor = resolve_name(EXTRACTORS[name].loader)(library, files, given)
    return found


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
            by = found[extractor.view].facts.extracted_by if extractor.view in found else name
            facts = Reference(
                library=name,
                library_version=module.VERSION,
                features=features,
                weights=extractor.checksum,
                resize=extractor.resize,
                n=len(data.images),
                data=data.checksum,
                batch_size=batch_size,
                extracted_by=by,
                provenance=provenance(),
            )
            if (kept := _kept(path, facts)) is not None:
                found.setdefault(extractor.view, kept)
                bar.skip(len(data.images))
                continue
            if extractor.view not in found:
                extracted = module.features(data.images, _counted(extractor, bar), batch_size)
                found[extractor.view] = ReferenceFeatures(extracted, facts, Statistics.of(extracted))
            save_reference(path, replace(found[extractor.view], facts=facts))
            # A library may have filled its last batch up, or had no need to extract.
            bar.update((done + 1) * len(data.images) - bar.n)


def _counted(extractor: FeatureExtractor, bar: Bar) -> FeatureExtractor:
    """An extractor that counts the images which it has seen: of a large network each takes a while."""

    def extract(images: Tensor) -> Tensor:
        found = extractor.extract(images)
        bar.update(len(images))
        return found

    return replace(extractor, extract=extract)


def _kept(path: Path, facts: Reference) -> ReferenceFeatures | None:
    """The reference of a file that has these facts, whoever extracted it and when."""
    try:
        reference = load_reference(path)
    except TdbenchError:
        return None
    apart = {"extracted_by": "", "provenance": None}
    alike = facts.model_copy(update=apart) == reference.facts.model_copy(update=apart)
    return reference if alike else None


@torch.no_grad()
def evaluate_run(run: Run, layout: RunLayout, files: DatasetLayout, world: World = ALONE) -> None:
    """Score all sample sets of ``run`` and write scores.json: one row for each library, metric and sample set.

    Several processes share the extraction of features; the leader computes the distances.
    """
    choose_device("cpu", run.training.threads)
    records = Records(layout.results).of(run)
    data, sets = records.trained.data, records.sampled
    settings, libraries = run.evaluation, run.evaluation.libraries
    extractors = {name: load_extractor(settings.features, name, files, settings.weights) for name in libraries}
    references = {name: _matching_reference(run, files, name, extractors[name], data) for name in libraries}
    rows, nearest, last_set = [], None, max(sets, key=lambda entry: (entry.snapshot_images, entry.steps))
    log = ProgressLog(layout.progress, "evaluate")
    with progress(
        f"{run.name} scores", len(sets) * len(references) + len(records.curve_sampled), "set", log=log
    ) as bar:
        for entry in sets:
            pixels = _pixels(records, entry)
            for name, scored, samples in score_set(run, entry, pixels, extractors, references, world):
                rows += scored
                if samples is not None and entry is last_set and name == libraries[0]:
                    place = (entry.snapshot_images, entry.steps)
                    nearest = nearest_in_data(samples.features, references[name].features, *place)
                bar.update(1)
        curve = _score_curve(records, extractors, references, world, bar)
    if world.leader:
        assert nearest is not None, "the leader sees the last set"
        content = Scored(
            run=run.name,
            evaluation=run.evaluation_settings(),
            references=reference_checksums(run, files),
            scores=rows,
            nearest=nearest,
            curve=curve,
            provenance=provenance(),
        )
        write_json(layout.scores, content)


def _pixels(records: RunRecords, entry: SampleSet) -> np.ndarray:
    """(N, C, H, W) uint8 images of a sample set."""
    return records.images_of(entry).transpose(0, 3, 1, 2).copy()


def _score_curve(
    records: RunRecords,
    extractors: Mapping[str, FeatureExtractor],
    references: Mapping[str, ReferenceFeatures],
    world: World,
    bar: Bar,
) -> list[Score]:
    """The scores of the curve: the leading metric by the first library."""
    run, metric = records.run, records.run.evaluation.curve_metric
    if metric is None or not records.curve_sampled:
        return []
    library, subset = run.evaluation.libraries[0], min(run.evaluation.kid_subset_size, run.curve_images)
    settings = run.evaluation.model_copy(update={"metrics": (metric,), "bootstrap": 0, "kid_subset_size": subset})
    cheap, rows = run.model_copy(update={"evaluation": settings}), []
    for entry in records.curve_sampled:
        chosen = ({library: extractors[library]}, {library: references[library]})
        for _, scored, _ in score_set(cheap, entry, _pixels(records, entry), *chosen, world):
            rows += scored
        bar.update(1)
    return rows


def reference_checksums(run: Run, files: DatasetLayout) -> dict[str, str]:
    """Library -> SHA-256 of the reference features that a run is scored against."""
    features = run.evaluation.features
    return {name: sha256(files.reference(features, name)) for name in run.evaluation.libraries}


def _matching_reference(
    run: Run, files: DatasetLayout, library: str, extractor: FeatureExtractor, data: DataSummary
) -> ReferenceFeatures:
    path, settings = files.reference(run.evaluation.features, library), run.evaluation
    given, plugin = settings.weights.get(LIBRARIES[library].publisher), EXTRACTORS[settings.features].plugin
    command = advice.reference(path, settings.features, [library], given, plugin)
    reference = load_reference(path, command)
    wanted = {
        "weights": extractor.checksum,
        "resize": extractor.resize,
        "data": data.sha256,
        "library_version": MODULES[library].VERSION,
    }
    run.check_data(len(reference.features))
    for key, value in wanted.items():
        if (found := getattr(reference.facts, key)) != value:
            raise TdbenchError(f"{path}: {key} is {found!r}, expected {value!r}; run `{command}` again")
    return reference


def score_set(
    run: Run,
    entry: SampleSet,
    pixels: np.ndarray,
    extractors: dict[str, FeatureExtractor],
    references: dict[str, ReferenceFeatures],
    world: World,
) -> Iterator[tuple[str, list[Score], Samples | None]]:
    """Library, its rows of one sample set, and the extracted features; empty in all processes but the leader."""
    settings, last = run.evaluation, entry.snapshot_images == run.scored_snapshots()[-1]
    # Libraries that see the images alike share what was extracted, and what is the same for both.
    extracted: dict[tuple[str, str], Samples | None] = {}
    spreads: dict[tuple[str, str], dict[str, float]] = {}
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
        values = _measured(run, entry, name, samples, reference)
        if last and settings.bootstrap and extractor.view not in spreads:
            spreads[extractor.view] = _spreads(values, samples, reference, settings.bootstrap)
        seconds = time.perf_counter() - begun
        about = _Scored(run, entry, len(pixels), name, extractor, reference)
        yield name, about.rows(values, spreads.get(extractor.view, {}), seconds), samples


def _spreads(
    metrics: Iterable[str], samples: Samples, reference: ReferenceFeatures, resamplings: int
) -> dict[str, float]:
    """The spread over resamplings of the images, of those metrics that have one."""
    functions = {metric: METRICS[metric].spread for metric in metrics if METRICS[metric].spread}
    return {
        metric: resolve_name(function)(samples.features, reference.statistics, resamplings)
        for metric, function in functions.items()
    }


def _measured(
    run: Run, entry: SampleSet, library: str, samples: Samples, reference: ReferenceFeatures
) -> dict[str, float]:
    """The metrics of a set by a library; raises a `TdbenchError` that names the set where they cannot be had."""
    last = entry.snapshot_images == run.scored_snapshots()[-1]
    try:
        values = measure(MODULES[library], samples, reference, run.evaluation, last)
    except TdbenchError as error:
        raise TdbenchError(f"{entry.file} of {run.name}: {error}") from error
    if not all(math.isfinite(value) for value in values.values()):
        raise TdbenchError(
            f"{entry.file} of {run.name}: {library} gives {values}; the samples' features are degenerate"
        )
    return values


class _Scored(NamedTuple):
    """A sample set of a run, as a library sees it."""

    run: Run
    entry: SampleSet
    images: int
    library: str
    extractor: FeatureExtractor
    reference: ReferenceFeatures

    def rows(self, values: Mapping[str, float], spreads: Mapping[str, float], seconds: float) -> list[Score]:
        """A row a metric."""
        return [
            Score(
                snapshot_kimg=self.entry.snapshot_images / 1000,
                steps=self.entry.steps,
                nfe=self.entry.nfe,
                sampler=self.run.sampling.sampler.kind,
                library=self.library,
                library_version=MODULES[self.library].VERSION,
                features=self.extractor.name,
                resize=self.extractor.resize,
                n=self.images,
                reference_n=len(self.reference.features),
                reference_data=self.reference.facts.data,
                samples=self.entry.sha256,
                seconds=seconds,
                metric=metric,
                value=value,
                spread_of_images=spreads.get(metric),
            )
            for metric, value in values.items()
        ]
