"""What the Snakefile asks: an experiment as files and settings."""

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Self

from tdbench.errors import TdbenchError
from tdbench.files import make_folder
from tdbench.layout import DatasetLayout, ReportLayout, RunLayout
from tdbench.plan import Plan, Run, load_plan
from tdbench.reporting.collect import runs_of
from tdbench.reporting.store import published_file, tracking_uri

KNOWN_CONFIG = {"experiment": "digits", "results": "results"}


class Workflow:
    """The experiment of one Snakemake call.

    Attributes
    ----------
    plan : Plan
    results : Path
    path : Path
        The experiment file, as the commands get it.
    report : ReportLayout
    features : str
    """

    def __init__(self, plan: Plan, results: Path) -> None:
        self.plan, self.results, self.path = plan, results, plan.path
        self.report = ReportLayout(results, plan.experiment.name)
        self.features = plan.experiment.evaluation.features

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Read Snakemake's config; a mistake of the user ends the call with one line and exit code 2."""
        # Rules call `tdbench` by name: let them find the one beside this Python, whatever the caller's PATH.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        try:
            unknown = sorted(set(config) - set(KNOWN_CONFIG))
            if unknown:
                raise TdbenchError(
                    f"--config {unknown[0]}={config[unknown[0]]}: unknown key; known: {', '.join(KNOWN_CONFIG)}"
                )
            chosen = {key: str(config.get(key, default)) for key, default in KNOWN_CONFIG.items()}
            plan, results = load_plan(chosen["experiment"]), Path(chosen["results"])
            if set("{}") & set(str(results)):
                raise TdbenchError(
                    f"results {str(results)!r}: Snakemake reads braces as wildcards; choose another folder"
                )
            for name in plan.experiment.published:
                published_file(name, f"{plan.path}: ")
            make_folder(results)
            return cls(plan, results)
        except TdbenchError as error:
            print(f"tdbench: error: {error}", file=sys.stderr, flush=True)
            # Snakemake would wrap an exception in a traceback.
            sys.stdout.flush()
            os._exit(2)

    def dataset(self, name: str) -> DatasetLayout:
        return DatasetLayout(self.results, name)

    def source_arguments(self, name: str) -> str:
        """Arguments of `tdbench data`, quoted for the shell."""
        dataset = self.plan.experiment.datasets[name]
        path = [] if dataset.path is None else ["--path", str(dataset.path)]
        resolution = [] if dataset.resolution is None else ["--resolution", str(dataset.resolution)]
        plugins = [part for name in self.plan.experiment.plugins for part in ("--plugin", self._plugin(name))]
        return shlex.join([dataset.source, *path, *resolution, *plugins])

    def _plugin(self, name: str) -> str:
        """A plug-in's file as seen from here; the experiment names it as seen from itself."""
        return str(self.path.parent / name) if name.endswith(".py") else name

    def source_files(self, name: str) -> list[Path]:
        """The user's own files that a data set is made from.

        Once the archive is made it stays, wherever its source has gone; before, a source that is missing is
        left for the command to report.
        """
        path = self.plan.experiment.datasets[name].path
        known = path is not None and (path.exists() or self.dataset(name).archive.exists())
        return [path] if path is not None and known else []

    def extractor_files(self, name: str) -> list[Path]:
        """What a feature extractor is loaded from."""
        files = self.dataset(name)
        return [files.classifier, files.classifier_report] if self.features == "classifier" else []

    def run(self, name: str) -> Run:
        return self.plan.runs[name]

    def run_dataset(self, name: str) -> DatasetLayout:
        return self.dataset(self.run(name).dataset_name)

    def run_files(self, name: str) -> RunLayout:
        """Files of a run; ``name`` may be a wildcard."""
        any_run = next(iter(self.plan.runs.values()))
        return RunLayout(self.results, any_run, name)

    def weights_of(self, name: str) -> Path:
        """The list of snapshots that a run samples, its own or those of a run that trains the very same."""
        return RunLayout(self.results, self.run(name)).snapshots

    def training_settings(self, name: str) -> str:
        return _readable(self.run(name).training_settings())

    def sampling_settings(self, name: str) -> str:
        return _readable(self.run(name).sampling_settings())

    def evaluation_settings(self, name: str) -> str:
        return _readable(self.run(name).evaluation_settings())

    @property
    def reporting_settings(self) -> str:
        """What a report depends on besides the scores."""
        content = self.plan.experiment.model_dump(mode="json", by_alias=True)
        return _readable(content)

    def scores(self, part: str) -> list[Path]:
        return [RunLayout(self.results, run).scores for run in runs_of(self.plan, part)]

    @property
    def tracking_key(self) -> str:
        """What tells one MLflow store from another, without the password that its address may hold."""
        return hashlib.sha256(tracking_uri(self.results).encode()).hexdigest()[:16]

    @property
    def comparison_tables(self) -> list[Path]:
        return [*self.report.table("comparison"), *self.report.table("cost")]

    @property
    def comparison_figures(self) -> list[Path]:
        pairs = self.plan.experiment.pairs
        names = ["fid-against-nfe", *(f"{kind}-{pair}" for kind in ("training", "samples") for pair in pairs)]
        return [path for name in names for path in self.report.figure(name)]

    @property
    def comparison_files(self) -> list[Path]:
        return [*self.comparison_tables, *self.comparison_figures]

    @property
    def ablation_files(self) -> list[Path]:
        names = [f"ablation-{name}" for name in self.plan.ablations]
        return [path for name in names for path in (*self.report.table(name), *self.report.figure(name))]


def _readable(settings: dict[str, Any]) -> str:
    """Settings as Snakemake records and shows them."""
    return json.dumps(settings, sort_keys=True)
