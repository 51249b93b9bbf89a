"""Batches: the runs that one job takes through a stage, one after the other in one process.

Importing torch and the libraries takes several seconds, which is most of the time of a small run. With
``runs_per_job: 1`` a batch is one run and has the name of that run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run


@dataclass(frozen=True)
class Batch:
    """Runs that share a data set, a formulation and a part of the experiment."""

    name: str
    runs: tuple[Run, ...]

    @property
    def trainings(self) -> tuple[Run, ...]:
        """The runs that train their own weights."""
        return tuple(run for run in self.runs if run.trained_as is None)

    @property
    def cores(self) -> int:
        """Cores that a job of this batch needs, for all its processes."""
        return max(run.training.processes * run.training.threads for run in self.runs)

    @property
    def processes(self) -> int:
        """Processes that a job of this batch starts for each run."""
        return max(run.training.processes for run in self.runs)

    @property
    def gpus(self) -> int:
        """GPUs that a job of this batch needs, one per process."""
        return max(0 if run.training.device == "cpu" else run.training.processes for run in self.runs)


def batches(plan: Plan) -> dict[str, Batch]:
    """Split the plan into batches by name, such as ``digits/comparison/edm-1``; each run is in one batch."""
    size = plan.experiment.runs_per_job
    if size == 1:
        return {name: Batch(name, (run,)) for name, run in plan.runs.items()}
    found = {}
    for name, runs in _groups(plan):
        count = -(-len(runs) // size)
        for i in range(count):
            # Batches of nearly equal size, so that no core waits for the longest one.
            chunk = runs[len(runs) * i // count : len(runs) * (i + 1) // count]
            batch = Batch(f"{name}-{i + 1}", tuple(chunk))
            found[batch.name] = batch
    return found


def _groups(plan: Plan) -> Iterator[tuple[str, list[Run]]]:
    """Group runs by data set, part and formulation. A run that an ablation shares belongs to the comparison."""
    left = plan.runs
    parts = [("comparison", (*plan.comparison, *plan.longer))]
    parts += [(f"ablation-{name}", runs) for name, runs in plan.ablation_runs.items()]
    for part, runs in parts:
        own = [left.pop(run.name) for run in runs if run.name in left]
        # A longer baseline belongs beside the runs of its formulation.
        order = list(dict.fromkeys((run.dataset_name, run.formulation_name) for run in own))
        own.sort(key=lambda run: order.index((run.dataset_name, run.formulation_name)))
        for (dataset, formulation), group in groupby(own, key=lambda run: (run.dataset_name, run.formulation_name)):
            yield f"{dataset}/{part}/{formulation}", list(group)
