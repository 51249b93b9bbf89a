"""Memory, time and priority of jobs, estimated from the sizes of their runs.

Snakemake does not enforce these figures when it runs jobs on one machine. A cluster ends a job that exceeds them; the
next attempt asks for more and resumes. The estimates are generous: they should suffice for nearly all jobs on a machine
that is a few years old.
"""

import math
from collections.abc import Callable
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tdbench.data.sources import SOURCES
from tdbench.experiment.extractors import DEFAULT_FEATURES, EXTRACTORS
from tdbench.experiment.run import Run
from tdbench.experiment.schema import Dataset
from tdbench.networks import forward_flops, nominal_parameters
from tdbench.records.stages import STAGES, following
from tdbench.workflow.batches import Batch
from tdbench.workflow.budget import image_size, run_budget

if TYPE_CHECKING:
    from tdbench.workflow.flow import Workflow

GPU_FLOPS, CORE_FLOPS = 20e12, 30e9
"""FLOP/s that a GPU and a CPU core sustain at least: a third of what is usual now."""
CALL_S = 0.05
"""Fixed cost in seconds of a training step or a network evaluation."""
SLACK, START_MINUTES, LEAST_MINUTES = 1.5, 5, 15
"""Factor on the estimated time; minutes to start; least minutes, which leave time for the signal before the end."""
START_MB, GPU_START_MB = 3_000, 6_000
"""Memory of Python with torch and the libraries, without and with CUDA's libraries and context."""
MOST_TIMES_MEMORY = 3
"""Limit on the memory factor of later attempts, since an attempt may fail for lack of time instead."""
ACTIVATIONS_MB, ACTIVATIONS_MB_A_GFLOP = 1.0, 4.5
"""Memory per training image on a CPU in float32: fixed, and per GFLOP of its forward pass. Above every network here."""
UNKNOWN_IMAGES = 100_000
"""Assumed number of images in a data set of the user, before its archive exists."""
DISTANCE_WEIGHTS_MB = 1_100
"""Memory of a process that reads the VGG16 file of 553 MB."""
STORED = 5
"""Copies of the weights in a checkpoint: network, average, target and the optimizer's two moments."""


SET_S = 10
"""Fixed cost in seconds of the metrics of a sample set."""


class Needs(NamedTuple):
    """Memory and time that the first attempt of a job asks for."""

    mem_mb: int
    """Memory of the host, MB."""
    minutes: int
    seconds: float
    """The estimated time without slack."""

    @classmethod
    def from_estimate(cls, megabytes: float, seconds: float) -> Self:
        """Add slack to an estimate and round up: memory to 500 MB, time to whole minutes."""
        minutes = START_MINUTES + SLACK * seconds / 60
        return cls(500 * math.ceil(megabytes / 500), max(LEAST_MINUTES, math.ceil(minutes)), seconds)


class Requests:
    """Resources of the rules, as functions of wildcards and attempt for Snakemake.

    Parameters
    ----------
    workflow : Workflow
        The experiments; wildcards name their batches and data sets.
    """

    def __init__(self, workflow: "Workflow") -> None:
        self._workflow, self._needs = workflow, cache(self._estimate)

    def mem_mb(self, job: str) -> Callable[..., int]:
        """Return a function for the memory of a job in MB; ``job`` is a stage, a step of a data set, or ``report``."""
        return lambda wildcards, attempt, threads: (
            self._of(job, wildcards, threads).mem_mb * min(attempt, MOST_TIMES_MEMORY)
        )

    def minutes(self, job: str) -> Callable[..., int]:
        """Return a function for the time of a job, Snakemake's `runtime`; --resources runtime=N limits it."""
        return lambda wildcards, attempt, threads: self._of(job, wildcards, threads).minutes * attempt

    def priority(self, stage: str) -> Callable[..., int]:
        """Return a function for the priority of a job; a higher number runs first.

        Jobs for a GPU come first, because scoring would take the cores that they also need. Among these, sampling comes
        before training, so that scoring can begin. Otherwise the batch with the most remaining work comes first: a long
        one that starts last would keep one GPU or core busy while all others idle.
        """
        left = [stage, *(after.name for after in following(stage))]

        def rank(wildcards: Any) -> int:
            batch = self._workflow[wildcards.experiment].batches[wildcards.batch]
            seconds = sum(self._of(job, wildcards, batch.cores).seconds for job in left)
            # The logarithm distinguishes short jobs as well as long ones.
            return (STAGES[stage].gpu_priority if batch.gpus else 0) + round(100 * math.log10(1 + seconds))

        return rank

    def _of(self, job: str, wildcards: Any, threads: int) -> Needs:
        names = ("experiment", "batch", "dataset", "features")
        return self._needs(job, threads, *(getattr(wildcards, name, "") for name in names))

    def _estimate(self, job: str, cores: int, experiment: str, batch: str, dataset: str, features: str) -> Needs:
        if job in STAGES:
            needs: Needs = resolve_name(STAGES[job].needs)(self._workflow[experiment].batches[batch], cores)
            return needs
        if job in EXPERIMENT_JOBS:
            return EXPERIMENT_JOBS[job]
        # The jobs for the archive and the classifier have no wildcard `features`.
        return dataset_needs(self._workflow.source(dataset), features or DEFAULT_FEATURES, cores)


EXPERIMENT_JOBS = {"report": Needs.from_estimate(4_000, 30 * 60)}
"""Jobs with about the same needs in every experiment."""


def training_needs(batch: Batch, cores: int) -> Needs:
    """Of a job that trains; on GPUs activations and the images of a step are not in the host's memory."""
    seconds = sum(
        _seconds(run, cores, run_budget(run).training_flops, run.total_steps * (1 + _has_target(run)))
        for run in batch.trainings
    )
    return Needs.from_estimate(max((_training_mb(run) for run in batch.trainings), default=START_MB), seconds)


def sampling_needs(batch: Batch, cores: int) -> Needs:
    """Needs of a job that samples, and measures the residual and the mechanism, which need the data set."""
    seconds = megabytes = 0.0
    for run in batch.runs:
        budget, side = run_budget(run), image_size(run)
        seconds += _seconds(run, cores, budget.sampling_flops, budget.evaluations / run.sampling.batch_size)
        activations = 0.0 if _gpus(run) else run.sampling.batch_size * _activations_mb(run)
        flops, values = _mechanism(run)
        seconds += _seconds(run, cores, flops, 0)
        images = (4 * run.sampling.images + values) * side[0] ** 2 * side[1] / 1e6
        megabytes = max(megabytes, _start_mb(run) + images + 3 * _dataset_mb(run.dataset) + activations)
    return Needs.from_estimate(megabytes, seconds)


def _mechanism(run: Run) -> tuple[float, float]:
    """Operations of measuring the mechanism, and bytes that it holds for each value of an image."""
    settings = run.evaluation.mechanism
    if run.mechanism_td is None or settings is None:
        return 0.0, 0.0
    # The network at both points, and for the lag the trained network and its target; two losses for the noise.
    passes = 4 * settings.images + 6 * settings.batches * run.training.batch_size
    # Errors at both points, their sum and their difference, in float64.
    return settings.times * passes * forward_flops(run.network.kind, image_size(run)[0]), 6 * 8 * settings.images


def evaluation_needs(batch: Batch, cores: int) -> Needs:
    """Needs of a job that scores on the CPU: features of every sample set and the distances between them."""
    seconds = megabytes = 0.0
    for run in batch.runs:
        images, sets = run.sampling.images, len(run.scored_snapshots()) * len(run.sampling.steps)
        extractor = EXTRACTORS[run.evaluation.features]
        dimensions = extractor.length(_values(run.dataset))
        columns = len(run.evaluation.libraries) if extractor.own_of_library else 1
        # Distances from each image to all others. The square roots of the covariances are counted in `alone`.
        shared = columns * (1e9 * extractor.gflops * images + 8 * dimensions * images**2)
        alone = SET_S + columns * 50 * dimensions**3 / CORE_FLOPS
        seconds += sets * (alone + shared / (CORE_FLOPS * cores))
        held = 8 * dimensions * (images + _images(run.dataset)) / 1e6
        megabytes = max(megabytes, START_MB + 1_000 * cores + 4 * held)
    return Needs.from_estimate(megabytes, seconds)


def dataset_needs(dataset: Dataset, features: str, cores: int) -> Needs:
    """Needs of the jobs for the archive, the classifier and the reference features of a data set."""
    extractor, images = EXTRACTORS[features], _images(dataset)
    # Decoding a large image takes about 30 ms.
    seconds = images * max(0.03, 1e9 * extractor.gflops / CORE_FLOPS) / cores
    held = 8 * extractor.length(_values(dataset)) * images / 1e6
    return Needs.from_estimate(START_MB + 4 * _dataset_mb(dataset) + 4 * held, seconds)


def _seconds(run: Run, cores: int, flops: float, calls: float) -> float:
    """Return the seconds of a run on the GPUs of its job, or on ``cores`` cores."""
    rate = GPU_FLOPS * run.training.processes if _gpus(run) else CORE_FLOPS * cores
    return flops / rate + calls * CALL_S


def _training_mb(run: Run) -> float:
    training, parameters = run.training, nominal_parameters(run.network.kind, image_size(run)[0])
    # A checkpoint is in memory twice: as tensors and as the bytes of its file.
    stored = 2 * STORED * 4 * parameters / 1e6
    at_once = min(training.microbatch_size or training.batch_size, training.batch_size)
    # A third of the FLOPs of a distance is the forward pass of the images that need a gradient.
    distance = ACTIVATIONS_MB_A_GFLOP * run.formulation.loss_gflops / 3
    activations = 0.0 if _gpus(run) else at_once * (_activations_mb(run) + distance) + stored
    # Each process reads the archive and the weights of the distance; together they hold the activations of one batch.
    each = _start_mb(run) + 3 * _dataset_mb(run.dataset)
    each += DISTANCE_WEIGHTS_MB if run.formulation.distance_weights_needed else 0
    return training.processes * each + stored + activations


def _gpus(run: Run) -> bool:
    return run.training.device != "cpu"


def _start_mb(run: Run) -> int:
    return GPU_START_MB if _gpus(run) else START_MB


def _has_target(run: Run) -> bool:
    return run.objective.target_rule(run.formulation) is not None


def _activations_mb(run: Run) -> float:
    gflops = forward_flops(run.network.kind, image_size(run)[0]) / 1e9
    return ACTIVATIONS_MB + ACTIVATIONS_MB_A_GFLOP * gflops


def _images(dataset: Dataset) -> int:
    nominal = SOURCES[dataset.source].nominal
    return UNKNOWN_IMAGES if nominal is None else nominal.images


def _values(dataset: Dataset) -> int:
    """Return the values of an image, one per channel and pixel."""
    nominal = SOURCES[dataset.source].nominal
    resolution, channels = (64, 3) if nominal is None else nominal[:2]
    return (dataset.resolution or resolution) ** 2 * channels


def _dataset_mb(dataset: Dataset) -> float:
    """Return the size of the images in memory in MB, one byte per value."""
    return _images(dataset) * _values(dataset) / 1e6
