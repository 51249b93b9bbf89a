"""What the Snakefile asks of weights that others publish: which files are fetched, which a user gave."""

import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import OWN, PUBLISHERS
from tdbench.experiment.run import Plan, Run
from tdbench.records.layout import DatasetLayout, RunLayout, weights_record
from tdbench.training.lpips_weights import LIBRARY, published_weights


class WeightsPlan:
    """The weights of Inception of the experiments of one Snakemake call.

    Parameters
    ----------
    plans : list of Plan
    results : Path
    """

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.plans = [plan for plan in plans if plan.experiment.evaluation.features in OWN]
        self.results = results

    @property
    def publishers(self) -> list[str]:
        """Libraries whose published weights are needed."""
        runs = [run for plan in self.plans for run in plan.runs.values()]
        return sorted({name for run in runs for name in run.evaluation.publishers})

    @property
    def records(self) -> list[Path]:
        """What says that the published weights are at hand."""
        return [weights_record(self.results, "inception", name) for name in self.publishers]

    @property
    def arguments(self) -> str:
        """Arguments of `tdbench weights`."""
        return shlex.join(part for name in self.publishers for part in ("--library", name))

    def check(self) -> None:
        """Refuse files of the user's that are not there before anything is computed, unless they served already.

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
        """Have the published files; raises as `inception_weights.all_published_weights` does."""
        from tdbench.evaluation.inception_weights import all_published_weights

        all_published_weights(self.publishers)

    def given(self, dataset: str, library: str) -> Path | None:
        """The user's own file for a library and a data set; all experiments that share the data set name the same."""
        for plan in self.plans:
            if dataset in plan.experiment.datasets:
                return plan.experiment.evaluation.weights.get(PUBLISHERS[library])
        return None

    def files(self, dataset: str, library: str) -> list[Path]:
        """What a library's Inception is loaded from, or what says that it is at hand.

        A file of the user's that is gone is no reason to extract again what was extracted from it.
        """
        given = self.given(dataset, library)
        if given is None:
            return [weights_record(self.results, "inception", PUBLISHERS[library])]
        return [given] if given.exists() or self._extracted(dataset, library) else []

    def option(self, dataset: str, library: str) -> str:
        """A further argument of `tdbench reference`, quoted for the shell."""
        given = self.given(dataset, library)
        return "" if given is None else shlex.join(["--weights", str(given)])

    def _extracted(self, dataset: str, library: str) -> bool:
        return DatasetLayout(self.results, dataset).reference("inception", library).exists()


class DistanceWeightsPlan:
    """The weights of LPIPS, by which trainings of one Snakemake call compare images.

    Parameters
    ----------
    plans : list of Plan
    results : Path
    """

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.plans, self.results = plans, results

    @property
    def record(self) -> Path:
        """What says that the published weights are at hand."""
        return weights_record(self.results, "lpips", LIBRARY)

    def check(self) -> None:
        """Refuse a file of the user's that is missing before anything is computed, unless its runs are trained already.

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
        """Have the published file; raises as `lpips_weights.published_weights` does."""
        published_weights()

    def files(self, trainings: Iterable[Run]) -> list[Path]:
        """What the distance of trainings is loaded from, or what says that it is at hand; none if none needs weights.

        A user's file that is gone after they were trained stays an input, as Snakemake allows: they are not trained
        again for that.
        """
        given = [run.training.distance_weights for run in trainings if run.formulation.distance_weights_needed]
        return list(dict.fromkeys(self.record if path is None else path for path in given))

    def _trained(self, plan: Plan) -> bool:
        runs = [run for run in plan.runs.values() if run.formulation.distance_weights_needed]
        return all(RunLayout(self.results, run).snapshots.exists() for run in runs)


def fetch_first(workflow: Any, fetch: Mapping[str, Callable[[], None]]) -> None:
    """Have published weights before any job, where the rules that fetch them are to run.

    With `keep-going` such a rule's failure alone would let days of training begin whose scores cannot be computed.
    Where a file cannot be had, the call ends with a line a file and exit code 2.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        What a Snakefile knows by that name.
    fetch : mapping
        Name of a rule -> what it does.
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
        # Of other exceptions Snakemake prints where they were raised; it lets go its locks all the same.
        raise SystemExit(2)
