"""What the Snakefile asks of Inception's weights: which files are fetched, which a user gave."""

import shlex
import sys
from pathlib import Path
from typing import Any

from tdbench.errors import TdbenchError
from tdbench.evaluation import PUBLISHERS
from tdbench.layout import DatasetLayout, weights_record
from tdbench.plan import Plan


class WeightsPlan:
    """The weights of the experiments of one Snakemake call.

    Parameters
    ----------
    plans : list of Plan
    results : Path
    """

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.plans = [plan for plan in plans if plan.experiment.evaluation.features == "inception"]
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

    def fetch_first(self, workflow: Any) -> None:
        """Have the published weights before any job, if the rule `weights` is to run.

        With `keep-going` that rule's failure alone would let days of training begin whose scores cannot be computed.
        Where a file cannot be had, the call ends with a line and exit code 2.

        Parameters
        ----------
        workflow : snakemake.workflow.Workflow
            What a Snakefile knows by that name.
        """
        from tdbench.evaluation.inception_weights import all_published_weights

        if any(job.rule.name == "weights" for job in workflow.dag.needrun_jobs()):
            try:
                all_published_weights(self.publishers)
            except TdbenchError as error:
                print(f"tdbench: error: {error}", file=sys.stderr, flush=True)
                # Of other exceptions Snakemake prints where they were raised; it lets go its locks all the same.
                raise SystemExit(2) from None

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
