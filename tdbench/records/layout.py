"""The path of every file of an experiment, for the Snakefile and the commands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tdbench.errors import TdbenchError
from tdbench.records import report, rows
from tdbench.records.stages import STAGES

TABLE_FORMATS = ("csv", "md", "tex")
FIGURE_FORMATS = ("png", "svg", "pdf")
PROGRESS = "progress.jsonl"


class NamedRun(Protocol):
    """What the paths of a run depend on: a `Run`, or only its names."""

    @property
    def experiment(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def weights_name(self) -> str: ...


def weights_record(results: Path, network: str, publisher: str) -> Path:
    """The record that a library's published weights for a network are downloaded, and which weights they are."""
    return results / "weights" / f"{network}-{publisher}.json"


class DatasetLayout:
    """Files of a data set, shared by all experiments that use it."""

    def __init__(self, results: Path, name: str) -> None:
        self.results, self.folder = results, results / "datasets" / name
        self.archive = self.folder / "archive.zip"
        self.summary = self.folder / "archive.json"
        self.classifier = self.folder / "classifier.safetensors"
        self.classifier_report = self.folder / "classifier.json"
        self.progress = self.folder / PROGRESS

    def reference(self, features: str, library: str) -> Path:
        return self.folder / f"reference-{features}-{library}.npz"

    def floor(self, features: str, samples: int | str) -> Path:
        """The floor of FID with so many samples; ``samples`` may be a wildcard."""
        return self.folder / f"floor-{features}-{samples}.json"

    def references(self, features: str, libraries: Iterable[str]) -> list[Path]:
        return [self.reference(features, library) for library in libraries]


class RunLayout:
    """Files of one run: its own, and those of its training, which it may share with another run."""

    def __init__(self, results: Path, run: NamedRun, name: str | None = None) -> None:
        """``name`` replaces the run's own, for Snakemake's wildcards."""
        self.results, runs = results, results / run.experiment / "runs"
        self.folder = runs / (name or run.name)
        # The same weights serve several runs, such as the baselines of DDPM and DDIM.
        self.training = runs / (name or run.weights_name)
        self.settings = self.training / "run.json"
        self.metrics = self.training / "metrics.jsonl"
        self.snapshots = self.training / "snapshots.json"
        self.checkpoints = self.training / "checkpoints"
        self.networks = self.training / "networks.safetensors"
        """The trained network and its target at the end of training, without average."""
        self.samples = self.folder / "samples.json"
        self.consistency = self.folder / "consistency.json"
        self.mechanism = self.folder / "mechanism.json"
        self.scores = self.folder / "scores.json"
        self.progress = self.folder / PROGRESS

    def made_by(self, stage: str) -> Path:
        """The file that a stage of this run writes last."""
        path: Path = getattr(self, STAGES[stage].file)
        return path

    def snapshot(self, images: int) -> Path:
        """The averaged weights after ``images`` images."""
        return self.training / "snapshots" / f"{images:09d}.safetensors"

    def sample_set(self, images: int, steps: int) -> Path:
        return self.folder / "samples" / f"{images:09d}" / f"steps-{steps:03d}.npz"

    def curve_set(self, images: int, steps: int) -> Path:
        """A sample set of the curve."""
        return self.folder / "curve" / f"{images:09d}" / f"steps-{steps:03d}.npz"

    def sample_grid(self, images: int, steps: int) -> Path:
        return self.sample_set(images, steps).with_suffix(".png")


class ReportLayout:
    """Tables, figures and report of an experiment, and the records of its jobs."""

    def __init__(self, results: Path, experiment: str) -> None:
        self.results, self.folder = results, results / experiment
        self.plan = self.folder / "plan.json"
        self.runs = self.folder / "runs"
        self.scores_parquet = self.folder / "scores.parquet"
        self.scores_csv = self.folder / "scores.csv"
        self.runs_csv = self.folder / "runs.csv"
        self.html = self.folder / "report.html"
        self.record = self.folder / "report.json"
        self.tracked = self.folder / "mlflow.json"
        self.mlflow_db = results / "mlflow" / "mlflow.db"
        self.mlflow_artifacts = results / "mlflow" / "artifacts"

    def job(self, batch: str, stage: str) -> Path:
        """The record that a batch of runs has finished a stage."""
        return self.folder / "jobs" / batch / f"{stage}.json"

    def table(self, name: str) -> list[Path]:
        return [self.folder / "tables" / f"{name}.{suffix}" for suffix in TABLE_FORMATS]

    def figure(self, name: str) -> list[Path]:
        return [self.folder / "figures" / f"{name}.{suffix}" for suffix in FIGURE_FORMATS]

    def tables(self, part: rows.Part, plan: rows.Named) -> list[Path]:
        """Every file of the tables of a part of the report."""
        rows = [row for row in report.TABLES if row.part == part and row.on_disk]
        return [path for row in rows for one in row.of(plan) for path in self.table(one.name)]

    def figures(self, part: rows.Part, plan: rows.Named) -> list[Path]:
        """Every file of the figures of a part of the report."""
        rows = [row for row in report.FIGURES if row.part == part]
        return [path for row in rows for one in row.of(plan) for path in self.figure(one.name)]


PUBLISHED = Path("results/published")


def published_file(name: str, where: str = "") -> Path:
    """The file of a set of published figures, from the current folder or else from the project's checkout.

    ``where`` is put before the error message.

    Raises
    ------
    TdbenchError
        If there is none of that name.
    """
    for folder in (PUBLISHED, Path(__file__).parents[2] / PUBLISHED):
        if (folder / f"{name}.csv").is_file():
            return folder / f"{name}.csv"
    raise TdbenchError(f"{where}published: {name!r}: no such file {PUBLISHED / name}.csv")
