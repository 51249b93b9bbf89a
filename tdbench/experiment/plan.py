"""An expanded experiment: all its runs, and the cases of its ablations."""

import difflib
import itertools
from pathlib import Path

from tdbench.errors import TdbenchError
from tdbench.experiment.cases import Case, EqualPasses
from tdbench.experiment.extractors import LIBRARIES
from tdbench.experiment.only import OPTION
from tdbench.experiment.run import FLOORED, Run
from tdbench.experiment.schema import Experiment
from tdbench.runtime import advice
from tdbench.settings import Parameters


class Plan(Parameters):
    """An expanded experiment."""

    experiment: Experiment
    path: Path
    comparison: tuple[Run, ...]
    longer: tuple[Run, ...] = ()
    """Longer baselines, for the comparison at equal passes."""
    equal_passes: tuple[EqualPasses, ...] = ()
    """For each objective, the baseline at equal passes; empty if it is turned off."""
    only: str | None = None
    """The part of the experiment file that this is, as `--only` takes it; None for all of it."""
    all_seeds: tuple[int, ...] = ()
    """The seeds of the experiment file, if this is a part of it."""
    ablations: dict[str, tuple[Case, ...]]
    ablation_runs: dict[str, tuple[Run, ...]]

    @property
    def arguments(self) -> tuple[Path | str, ...]:
        """The arguments of a command that name the experiment, or the part of it that this is."""
        return (self.path, OPTION, self.only) if self.only else (self.path,)

    @property
    def runs(self) -> dict[str, Run]:
        """All runs by name, those of the comparison first."""
        chained = itertools.chain(self.comparison, self.longer, *self.ablation_runs.values())
        return {run.name: run for run in chained}

    @property
    def baselines_at_equal_passes(self) -> dict[tuple[str, str, str], str]:
        """(data set, formulation, objective) -> objective name of the baseline that costs as many passes."""
        return {(p.dataset_name, p.formulation_name, p.objective_name): p.baseline_name for p in self.equal_passes}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All pairs of data set and formulation."""
        return list(itertools.product(self.experiment.datasets, self.experiment.formulations))

    def source_path(self, dataset: str) -> Path | None:
        """Return the path of a data set's source, relative to the working folder."""
        return self.experiment.datasets[dataset].found_path(self.path)

    @property
    def floors(self) -> dict[str, list[int]]:
        """Data set -> numbers of samples at which the floor of FID is needed."""
        found: dict[str, set[int]] = {}
        for run in self.runs.values():
            counts = found.setdefault(run.dataset_name, set())
            if FLOORED in run.evaluation.metrics:
                counts.add(run.sampling.images)
            if run.curve_snapshots and run.evaluation.curve_metric == FLOORED:
                counts.add(run.curve_images)
        return {name: sorted(counts) for name, counts in found.items()}

    def libraries(self, dataset: str) -> list[str]:
        """Return the libraries that score the runs of a data set."""
        used = {name for run in self.runs.values() if run.dataset_name == dataset for name in run.evaluation.libraries}
        return [name for name in LIBRARIES if name in used]

    def run(self, name: str) -> Run:
        """Return the run ``name``; the name of the data set may be omitted if there is only one."""
        datasets = list(self.experiment.datasets)
        full = name if "/" in name or len(datasets) > 1 else f"{datasets[0]}/{name}"
        if full not in self.runs:
            near = ", ".join(difflib.get_close_matches(full, self.runs, n=5, cutoff=0))
            lists = advice.command("plan", *self.arguments)
            raise TdbenchError(f"{self.path}: no run {name!r}; `{lists}` lists all {len(self.runs)}; nearest: {near}")
        return self.runs[full]


def runs_of(plan: Plan, part: str) -> list[Run]:
    """Return the runs for a part of the report: ``comparison``, ``ablations`` (with the baselines) or ``all``."""
    if part == "comparison":
        return [*plan.comparison, *plan.longer]
    if part == "ablations":
        baselines = [run for run in plan.comparison if run.objective.kind == "baseline"]
        varied = [run for runs in plan.ablation_runs.values() for run in runs]
        return list({run.name: run for run in [*baselines, *varied]}.values())
    return list(plan.runs.values())
