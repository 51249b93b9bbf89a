"""One or several experiments as the Snakefile sees them: files and settings."""

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Self

from tdbench.data.sources import SOURCES
from tdbench.data.state import changed_since
from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import EXTRACTORS
from tdbench.experiment.load import load_plans
from tdbench.experiment.plan import Plan, runs_of
from tdbench.experiment.plugins import plugin_argument
from tdbench.experiment.remarks import score_remarks, source_remarks
from tdbench.experiment.run import Run
from tdbench.experiment.schema import Dataset
from tdbench.records.layout import DatasetLayout, ReportLayout, RunLayout, published_file
from tdbench.records.schema import read_record
from tdbench.records.stages import STAGES
from tdbench.reporting.status.plan_file import write_plan_file
from tdbench.reporting.tracking.uri import tracking_uri
from tdbench.runtime import advice
from tdbench.runtime.files import make_folder
from tdbench.runtime.locks import hold_results
from tdbench.runtime.progress import say
from tdbench.workflow.batches import Batch, batches
from tdbench.workflow.config import check_paths, exit_on_error, read_config
from tdbench.workflow.markers import clamp_future_times, refresh_marker
from tdbench.workflow.published_weights import DistanceWeightsPlan, WeightsPlan, fetch_before_jobs

SHORTLY_S = 1.0
"""Wait for the lock: a Snakemake that only plans also takes it for a moment."""


class ExperimentFlow:
    """The files, batches and settings of one experiment.

    Attributes
    ----------
    plan : Plan
    results : Path
    path : Path
        The experiment file, as passed to the commands.
    report : ReportLayout
    batches : dict
        Name -> runs that one job does.
    """

    def __init__(self, plan: Plan, results: Path) -> None:
        self.plan, self.results = plan, results
        # A name that begins with a dash would be an option.
        self.path = plan.path.absolute() if str(plan.path).startswith("-") else plan.path
        self.name, self.features = plan.experiment.name, plan.experiment.evaluation.features
        self.report = ReportLayout(results, self.name)
        self.batches = batches(plan)
        self._runs = plan.runs
        self._batch_of = {run.name: batch.name for batch in self.batches.values() for run in batch.runs}

    @property
    def only(self) -> str:
        """The option of the commands that make the report, if this is a part of an experiment; quoted for the shell."""
        return shlex.join(map(str, self.plan.arguments[1:]))

    def files(self, run: Run) -> RunLayout:
        return RunLayout(self.results, run)

    def dataset(self, name: str) -> DatasetLayout:
        return DatasetLayout(self.results, name)

    def job(self, stage: str, run: Run) -> Path:
        """Return the marker of the job that takes a run through a stage."""
        return self.report.job(self._batch_of[run.name], stage)

    def refresh_markers(self) -> None:
        """Make the markers of finished stages match the files of the runs.

        These files are not outputs of rules, because Snakemake deletes the outputs of a failed job.
        """
        self._fix_future_times()
        self._notice_changed_sources()
        for batch in self.batches.values():
            for stage in STAGES:
                made = {run.name: self.files(run).made_by(stage) for run in _of_stage(stage, batch)}
                refresh_marker(self.report.job(batch.name, stage), stage, made)

    def _fix_future_times(self) -> None:
        """Correct modification times in the future, of files that Snakemake or a marker compares."""
        folders = [self.dataset(name).folder for name in self.plan.experiment.datasets]
        folders += [self.report.folder, *(self.report.folder / name for name in ("tables", "figures"))]
        paths = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()]
        paths += [self.report.job(batch, stage) for batch in self.batches for stage in STAGES]
        paths += [self.files(run).made_by(stage) for run in self.plan.runs.values() for stage in STAGES]
        if moved := clamp_future_times(paths):
            say(
                f"{moved[0]}: its modification time was in the future, "
                f"as was that of {len(moved) - 1} more files; set to now"
            )

    def _notice_changed_sources(self) -> None:
        """Rebuild archives whose source has changed; Snakemake sees the time of a folder but not of its files."""
        for name in self.plan.experiment.datasets:
            files = self.dataset(name)
            source = self.plan.source_path(name)
            if source is None or not (source.is_dir() and files.archive.exists() and files.summary.exists()):
                continue
            try:
                command = advice.snakemake(self.path, self.results, files.summary)
                summary = read_record(files.summary, command, DataSummary)
            except TdbenchError:  # reported by the command that needs it
                continue
            if changed_since(source, summary, files.archive):
                say(f"{source}: its files have changed since {files.archive} was written; it will be written again")
                # Older than its input. Snakemake would treat the time 0 as missing.
                os.utime(files.archive, (1, 1))

    def runs_of_job(self, stage: str, batch: str) -> str:
        """Return the names of the runs that a job takes through a stage, quoted for the shell."""
        return shlex.join(run.name for run in _of_stage(stage, self.batches[batch]))

    def archives(self, batch: str) -> list[Path]:
        return _unique(self.dataset(run.dataset_name).archive for run in self.batches[batch].runs)

    def trained(self, batch: str) -> list[Path]:
        """Return the markers of the jobs that train the weights of a batch; other batches may own some of them."""
        runs = [self._runs[run.weights_name] for run in self.batches[batch].runs]
        return _unique(self.job("train", run) for run in runs)

    def references(self, batch: str) -> list[Path]:
        return _unique(
            path
            for run in self.batches[batch].runs
            for path in self.dataset(run.dataset_name).references(self.features, run.evaluation.libraries)
        )

    def settings(self, stage: str, batch: str) -> str:
        """Return the settings that the results of a job depend on, besides its input."""
        name = STAGES[stage].settings
        return _readable({run.name: getattr(run, name)() for run in _of_stage(stage, self.batches[batch])})

    @property
    def floors(self) -> list[Path]:
        """The floors of FID that the report shows."""
        needed = self.plan.floors.items()
        return [self.dataset(name).floor(self.features, samples) for name, counts in needed for samples in counts]

    @property
    def reporting_settings(self) -> str:
        """The settings that a report depends on, besides the scores."""
        content = self.plan.experiment.model_dump(mode="json", by_alias=True)
        del content["training"]["processes"]
        return _readable(content)

    def scores(self, part: str) -> list[Path]:
        return _unique(self.job("evaluate", run) for run in runs_of(self.plan, part))

    @property
    def tracking_key(self) -> str:
        """A hash of the MLflow address, because the address may hold a password."""
        return hashlib.sha256(tracking_uri(self.results).encode()).hexdigest()[:16]

    @property
    def comparison_tables(self) -> list[Path]:
        return self.report.tables("comparison", self.plan)

    @property
    def comparison_figures(self) -> list[Path]:
        return self.report.figures("comparison", self.plan)

    @property
    def comparison_files(self) -> list[Path]:
        return [*self.comparison_tables, *self.comparison_figures]

    @property
    def ablation_files(self) -> list[Path]:
        return [*self.report.tables("ablations", self.plan), *self.report.figures("ablations", self.plan)]


class Workflow:
    """All experiments of one Snakemake call: one, or those of a collection."""

    def __init__(self, plans: list[Plan], results: Path) -> None:
        self.results, self.hold = results, hold_results(results)
        self.weights, self.distance_weights = WeightsPlan(plans, results), DistanceWeightsPlan(plans, results)
        self.flows = {plan.experiment.name: ExperimentFlow(plan, results) for plan in plans}

    def __getitem__(self, experiment: str) -> ExperimentFlow:
        return self.flows[experiment]

    @classmethod
    def from_config(cls, config: dict[str, Any], main_process: bool = True) -> Self:
        """Read Snakemake's config. A mistake of the user ends the call with one line and exit code 2.

        Parameters
        ----------
        main_process : bool
            Whether the user started this Snakemake. The Snakemake processes of its jobs, perhaps on other hosts, read
            the same Snakefile and must not change what the main process wrote.
        """
        # Rules call `tdbench` by name; make them find the one beside this Python.
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        with exit_on_error():
            return cls.read(config, main_process)

    @classmethod
    def read(cls, config: dict[str, Any], main_process: bool) -> Self:
        """Like `from_config`, but raise the mistakes of the user.

        Raises
        ------
        TdbenchError
            For the first mistake in the config or in an experiment of it.
        """
        experiment, results, only = read_config(config)
        plans = load_plans(experiment, only)
        check_paths(plans, results)
        for plan in plans:
            for name in plan.experiment.published:
                published_file(name, f"{plan.path}: ")
        workflow = cls(plans, results)
        workflow.weights.check()
        workflow.distance_weights.check()
        make_folder(results)
        # `snakemake -n` may run while another Snakemake works; it must not change anything then.
        if main_process and workflow.hold.free:
            for flow in workflow.flows.values():
                unmade = (name for name in flow.plan.experiment.datasets if not flow.dataset(name).archive.exists())
                for remark in (*source_remarks(flow.plan, unmade), *score_remarks(flow.plan)):
                    say(f"tdbench: warning: {remark}")
                flow.refresh_markers()
                write_plan_file(flow.plan, results)
        return workflow

    def begin(self, workflow: Any) -> None:
        """Lock the results folder and download published weights, before any job.

        If either fails, the call ends with one line and exit code 2.

        Parameters
        ----------
        workflow : snakemake.workflow.Workflow
            The object that a Snakefile sees as ``workflow``.
        """
        try:
            self.hold.take(SHORTLY_S)
        except TdbenchError as error:
            print(f"tdbench: error: {error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from None
        fetch_before_jobs(workflow, {"weights": self.weights.fetch, "distance_weights": self.distance_weights.fetch})

    def job(self, stage: str) -> Path:
        """Return the marker of a job of a stage, with wildcards for the experiment and the batch."""
        return ReportLayout(self.results, "{experiment}").job("{batch}", stage)

    def dataset(self, name: str) -> DatasetLayout:
        """Return the files of a data set; ``name`` may be a wildcard."""
        return DatasetLayout(self.results, name)

    def _owner(self, dataset: str) -> ExperimentFlow:
        """Return an experiment that uses a data set; all experiments that use it agree on its settings."""
        return next(flow for flow in self.flows.values() if dataset in flow.plan.experiment.datasets)

    def source(self, name: str) -> Dataset:
        """Return the settings of a data set."""
        return self._owner(name).plan.experiment.datasets[name]

    def source_arguments(self, name: str) -> str:
        """Return the arguments of `tdbench data`, quoted for the shell."""
        owner = self._owner(name)
        dataset = owner.plan.experiment.datasets[name]
        found = owner.plan.source_path(name)
        path = [] if found is None else ["--path", str(found)]
        resolution = [] if dataset.resolution is None else ["--resolution", str(dataset.resolution)]
        named = [plugin_argument(owner.path, name) for name in owner.plan.experiment.plugins]
        plugins = [word for plugin in named for word in ("--plugin", plugin)]
        networks: list[str] = []
        if SOURCES[dataset.source].origin:
            # The image size of a plug-in is known only once it has run; `tdbench data` checks it before other jobs.
            kinds = {run.network.kind for run in owner.plan.runs.values() if run.dataset_name == name}
            networks = [word for kind in sorted(kinds) for word in ("--network", kind)]
        return shlex.join([dataset.source, *path, *resolution, *plugins, *networks])

    def source_files(self, name: str) -> list[Path]:
        """Return the user's files that a data set is made from.

        An existing archive stays valid if its source is deleted. Without an archive, the command reports a missing
        source.
        """
        path = self._owner(name).plan.source_path(name)
        known = path is not None and (path.exists() or self.dataset(name).archive.exists())
        return [path] if path is not None and known else []

    def floor_references(self, dataset: str, features: str) -> list[Path]:
        """Return the reference features from which a floor is computed."""
        return self.dataset(dataset).references(features, self._libraries(dataset, features))

    def floor_libraries(self, dataset: str, features: str) -> str:
        """Return the libraries of a floor as options of `tdbench floor`."""
        return shlex.join(word for name in self._libraries(dataset, features) for word in ("--library", name))

    def _libraries(self, dataset: str, features: str) -> list[str]:
        flows = [flow for flow in self.flows.values() if flow.features == features]
        return _unique(
            name for flow in flows if dataset in flow.plan.experiment.datasets for name in flow.plan.libraries(dataset)
        )

    def extractor_files(self, dataset: str, features: str) -> list[Path]:
        """Return the files of a feature extractor that the libraries share."""
        files = self.dataset(dataset)
        trained = EXTRACTORS[features].trained_on_data
        return [files.classifier, files.classifier_report] if trained else []

    def extractor_plugin(self, features: str) -> str:
        """Return the plug-in argument of `tdbench reference`, quoted for the shell; empty for none."""
        plugin = EXTRACTORS[features].plugin
        return shlex.join(["--plugin", plugin]) if plugin else ""


def _of_stage(stage: str, batch: Batch) -> tuple[Run, ...]:
    return batch.trainings if STAGES[stage].shared else batch.runs


def _unique(items: Any) -> list[Any]:
    return list(dict.fromkeys(items))


def _readable(settings: object) -> str:
    """Return settings as the text that Snakemake records and shows."""
    return json.dumps(settings, sort_keys=True)
