"""Published network weights for the Snakefile: which files to download, and which the user provides."""

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import LIBRARY_SPECIFIC, PUBLISHERS
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout, weights_record
from tdbench.training.lpips_weights import LIBRARY, published_weights


class WeightsPlan:
    """The Inception weights that the experiments of one Snakemake call need.

    Parameters
    ----------
    plans : list of Plan
    results : Path
    """

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.plans = [plan for plan in plans if plan.experiment.evaluation.features in LIBRARY_SPECIFIC]
        self.results = results

    @property
    def publishers(self) -> list[str]:
        """Libraries whose published weights are needed."""
        runs = [run for plan in self.plans for run in plan.runs.values()]
        return sorted({name for run in runs for name in run.evaluation.publishers})

    @property
    def records(self) -> list[Path]:
        """The records that the rule `weights` writes."""
        return [weights_record(self.results, "inception", name) for name in self.publishers]

    @property
    def arguments(self) -> str:
        """Arguments of `tdbench weights`."""
        return shlex.join(part for name in self.publishers for part in ("--library", name))

    def check(self) -> None:
        """Reject missing files of the user before any job, unless their features are already extracted.

        Raises
        ------
        TdbenchError
            Names the experiment file and the key.
        """
        for plan in self.plans:
            for dataset in plan.experiment.datasets:
                for library in plan.libraries(dataset):
                    given = self.given(dataset, library)
                    if given is not None and not given.is_file() and not self._extracted(dataset, library):
                        key = f"evaluation.weights.{PUBLISHERS[library]}"
                        raise TdbenchError(f"{plan.path}: {key}: {given}: no such file")

    def fetch(self) -> None:
        """Download the published files; raises what `inception_weights.all_published_weights` raises."""
        from tdbench.evaluation.inception_weights import all_published_weights

        all_published_weights(self.publishers)

    def given(self, dataset: str, library: str) -> Path | None:
        """Return the user's file for a library and a data set; experiments that share the data set agree on it."""
        for plan in self.plans:
            if dataset in plan.experiment.datasets:
                return plan.experiment.evaluation.weights.get(PUBLISHERS[library])
        return None

    def files(self, dataset: str, library: str) -> list[Path]:
        """Return the weights file of a library's Inception, or the record of the published one.

        If the user's file is deleted later, features that were extracted with it stay valid.
        """
        given = self.given(dataset, library)
        if given is None:
            return [weights_record(self.results, "inception", PUBLISHERS[library])]
        return [given] if given.exists() or self._extracted(dataset, library) else []

    def option(self, dataset: str, library: str) -> str:
        """Return the weights argument of `tdbench reference`, quoted for the shell; empty for none."""
        given = self.given(dataset, library)
        return "" if given is None else shlex.join(["--weights", str(given)])

    def _extracted(self, dataset: str, library: str) -> bool:
        return DatasetLayout(self.results, dataset).reference("inception", library).exists()


class DistanceWeightsPlan:
    """The LPIPS weights that the trainings of one Snakemake call need.

    Parameters
    ----------
    plans : list of Plan
    results : Path
    """

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.plans, self.results = plans, results

    @property
    def record(self) -> Path:
        """The record that the rule `distance_weights` writes."""
        return weights_record(self.results, "lpips", LIBRARY)

    def check(self) -> None:
        """Reject a missing file of the user before any job, unless its runs are already trained.

        Raises
        ------
        TdbenchError
            Names the experiment file and the key.
        """
        for plan in self.plans:
            given = plan.experiment.training.distance_weights
            if given is not None and not given.is_file() and not self._trained(plan):
                raise TdbenchError(f"{plan.path}: training.distance_weights: {given}: no such file")

    def fetch(self) -> None:
        """Download the published file; raises what `lpips_weights.published_weights` raises."""
        published_weights()

    def files(self, trainings: Iterable[Run]) -> list[Path]:
        """Return the weights files or records that the trainings need; empty if none needs weights.

        If the user's file is deleted after training, it stays an input. Snakemake allows that and trains nothing again.
        """
        given = [run.training.distance_weights for run in trainings if run.formulation.distance_weights_needed]
        return list(dict.fromkeys(self.record if path is None else path for path in given))

    def _trained(self, plan: Plan) -> bool:
        runs = [run for run in plan.runs.values() if run.formulation.distance_weights_needed]
        return all(RunLayout(self.results, run).snapshots.exists() for run in runs)


def fetch_before_jobs(workflow: Any, fetch: Mapping[str, Callable[[], None]]) -> None:
    """Download published weights before any job, if the rules that fetch them will run.

    With `keep-going`, a failure of such a rule would not stop days of training, whose scores could never be computed.
    If a download fails, the call ends with one line per file and exit code 2.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        The object that a Snakefile sees as ``workflow``.
    fetch : mapping
        Name of a rule -> function that does its download.
    """
    to_run = {job.rule.name for job in workflow.dag.needrun_jobs()}
    failed: list[str] = []
    for rule, do in fetch.items():
        if rule in to_run:
            try:
                do()
            except TdbenchError as error:
                failed += error.mistakes
    if failed:
        print(f"tdbench: error: {TdbenchError(*failed)}", file=sys.stderr, flush=True)
        # Snakemake prints a traceback for other exceptions. It releases its locks for this one too.
        raise SystemExit(2)
