"""Duration of every job: its work from the plan, divided by the rates."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.scaling.rates import Rates
from tdbench.data.sources import SOURCES
from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import EXTRACTORS, LIBRARY_SPECIFIC
from tdbench.experiment.plan import Plan
from tdbench.records.sample_sets import sample_jobs
from tdbench.workflow.batches import Batch
from tdbench.workflow.budget import run_budget
from tdbench.workflow.flow import ExperimentFlow, Workflow


@dataclass(frozen=True)
class Cost:
    """Seconds of a job: a fixed part, and a part that several GPUs or processes share."""

    fixed_s: float
    shared_s: float = 0.0
    by: str = ""
    """The resource that shares the second part; empty for none."""


FLOOR_SETS = 40
"""Sets of perfect samples whose distances make a floor."""


def costs_of(plans: list[Plan], results: Path, rates: Rates) -> dict[str, Cost]:
    """Return first output of a job -> its cost, for all jobs that Snakemake may run.

    Parameters
    ----------
    results : Path
        The results folder, as passed to Snakemake.

    Raises
    ------
    TdbenchError
        If a part of an experiment has no rate, such as a folder with an unknown number of images.
    """
    workflow = Workflow(plans, results)
    found = {str(path): Cost(rates.start_s) for path in [*workflow.weights.records, workflow.distance_weights.record]}
    for flow in workflow.flows.values():
        for name in flow.plan.experiment.datasets:
            found |= {str(path): cost for path, cost in _of_dataset(flow, name, rates)}
        for batch in flow.batches.values():
            found |= {str(path): cost for path, cost in _of_batch(flow, batch, rates)}
        reports = [flow.comparison_files, flow.ablation_files, [flow.report.scores_parquet], [flow.report.tracked]]
        found |= {str(files[0]): Cost(rates.start_s + rates.report_s) for files in reports if files}
    return found


def write_costs(path: Path, costs: dict[str, Cost], efficiency: float) -> None:
    """Write the file that the executor reads."""
    path.write_text(json.dumps({"efficiency": efficiency, "jobs": {name: asdict(c) for name, c in costs.items()}}))


def _of_dataset(flow: ExperimentFlow, name: str, rates: Rates) -> Iterator[tuple[Path, Cost]]:
    """Yield the costs of the archive, the classifier (if it extracts the features) and the reference features."""
    source, files, features = flow.plan.experiment.datasets[name].source, flow.dataset(name), flow.features
    nominal, columns = SOURCES[source].nominal, flow.plan.libraries(name)
    if nominal is None:
        raise TdbenchError(f"{flow.path}: datasets.{name}: source {source!r}: its number of images is unknown")
    yield files.archive, Cost(rates.start_s + nominal.images * rates.decoding_s(source))
    if EXTRACTORS[features].trained_on_data:
        yield files.classifier, Cost(rates.start_s + rates.classifier_s)
    # Each library has its own Inception and a job for it. Other features are extracted once for all libraries.
    groups = [[column] for column in columns] if features in LIBRARY_SPECIFIC else [columns]
    for group in groups:
        path = files.references(features, group)[0]
        yield path, Cost(rates.start_s + nominal.images * rates.extraction_s(features, group))
    for samples in flow.plan.floors[name]:
        distances = sum(rates.distances_s(features, library, samples) for library in columns)
        yield files.floor(features, samples), Cost(rates.start_s + FLOOR_SETS * distances)


def _of_batch(flow: ExperimentFlow, batch: Batch, rates: Rates) -> Iterator[tuple[Path, Cost]]:
    """Yield the costs of training, sampling and scoring for the runs of a job."""
    training, sampling, features, distances = 0.0, 0.0, 0.0, 0.0
    for run in batch.runs:
        budget, speed, libraries = (
            run_budget(run),
            rates.throughput.of(run.network.kind) * 1e12,
            run.evaluation.libraries,
        )
        training += budget.training_flops / speed
        sampling += budget.sampling_flops / speed
        # Curves are scored by the first library only.
        for jobs, columns in zip(sample_jobs(run), (libraries, libraries[:1]), strict=True):
            for job in jobs:
                features += job.samples * rates.extraction_s(flow.features, columns)
                distances += sum(rates.distances_s(flow.features, library, job.samples) for library in columns)
    if batch.trainings:
        yield flow.report.job(batch.name, "train"), Cost(rates.start_s, training, "gpu")
    yield flow.report.job(batch.name, "sample"), Cost(rates.start_s, sampling, "gpu")
    yield flow.report.job(batch.name, "evaluate"), Cost(rates.start_s + distances, features, "processes")
