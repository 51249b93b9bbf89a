"""`tdbench status`: the status of every run of every experiment of a results folder."""

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tdbench.errors import TdbenchError, printable
from tdbench.records.layout import ReportLayout
from tdbench.reporting.status.dataset import DatasetStatus, read_dataset
from tdbench.reporting.status.estimate import seconds_left
from tdbench.reporting.status.expected import MOST_SETS, Expected
from tdbench.reporting.status.run import AT_WORK, RunStatus, read_run_status
from tdbench.runtime.files import parse_json
from tdbench.runtime.progress_log import number

_DATASET = re.compile(r"(?!\.)[A-Za-z0-9_.-]+")
_RUN = re.compile(r"(?!\.)[A-Za-z0-9_.-]+/(?!\.)[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ExperimentStatus:
    """The status of an experiment."""

    name: str
    path: str | None
    """Path of the experiment file; None without plan.json, when only runs that have started are listed."""
    statuses: list[RunStatus]
    others: int
    """Number of runs in its folder that are not in the plan."""
    seconds_left: dict[str, float | None]
    """Seconds left by stage, for stages that are running or still to come; empty if nothing is running."""
    note: str = ""
    datasets: list[DatasetStatus] = field(default_factory=list)
    """The status of the data sets that the plan names."""

    def counts(self) -> Counter[str]:
        """Number of runs that are done, at work, waiting, failed, stopped, silent, damaged."""
        return Counter("at work" if status.state in AT_WORK else status.state for status in self.statuses)

    def plain(self) -> dict[str, Any]:
        """The status as plain data for JSON."""
        runs = []
        for status in self.statuses:
            share = 100 * status.done / status.total if status.done is not None and status.total else None
            names = {"run": status.run.name, "weights_of": status.run.weights_name}
            runs.append(asdict(status) | names | {"percent": share})
        return {
            "experiment": self.name,
            "path": self.path,
            "counts": dict(self.counts()),
            "seconds_left": self.seconds_left,
            "runs_not_of_the_plan": self.others,
            "note": self.note,
            "datasets": [asdict(dataset) for dataset in self.datasets],
            "runs": runs,
        }


def read_status(results: Path) -> list[ExperimentStatus]:
    """The status of every experiment in a results folder, or of one experiment, given its folder.

    Raises
    ------
    TdbenchError
        If the folder does not exist or holds no experiment.
    """
    if not results.is_dir():
        found = "is a file" if results.exists() else "no such folder"
        raise TdbenchError(f"{results}: {found}; give a results folder, or the folder of one experiment in it")
    root = results.absolute()
    if _is_experiment(root):
        return [_read_experiment(root.parent, root.name)]
    names = sorted(path.name for path in root.iterdir() if _is_experiment(path))
    if not names:
        raise TdbenchError(f"{results}: no experiment in it (a folder with plan.json or runs/)")
    return [_read_experiment(root, name) for name in names]


def _is_experiment(folder: Path) -> bool:
    layout = ReportLayout(folder.parent, folder.name)
    return layout.plan.is_file() or layout.runs.is_dir()


def _read_experiment(results: Path, name: str) -> ExperimentStatus:
    layout = ReportLayout(results, name)
    begun = sorted(str(path.relative_to(layout.runs)) for path in layout.runs.glob("*/*") if path.is_dir())
    path, expected, note = None, None, ""
    datasets: list[DatasetStatus] = []
    try:
        content = parse_json(layout.plan.read_text(encoding="utf-8"))
        path, expected = printable(str(content["path"])), [_expected(name, entry) for entry in content["runs"]]
        # Plans of earlier versions have no data sets.
        named = {name: entry for name, entry in content.get("datasets", {}).items() if _DATASET.fullmatch(name)}
        datasets = [read_dataset(results, name, entry) for name, entry in named.items()]
    except FileNotFoundError:
        note = "plan.json: missing; only runs that have started are listed"
    except Exception as error:  # a damaged file fails in many ways
        note = (
            f"plan.json: damaged or of another version ({type(error).__name__}); only runs that have started are listed"
        )
    known = [_of_record(results, name, run) for run in begun] if expected is None else expected
    statuses = [read_run_status(results, run) for run in known]
    others = len(set(begun) - {run.name for run in known})
    return ExperimentStatus(name, path, statuses, others, seconds_left(results, statuses), note, datasets)


def _expected(experiment: str, entry: dict[str, Any]) -> Expected:
    """A run from its entry in plan.json."""
    name, weights_name = str(entry["name"]), str(entry["weights_name"])
    if not (_RUN.fullmatch(name) and _RUN.fullmatch(weights_name)):
        raise ValueError("names of runs are names of folders")
    return Expected(
        experiment,
        name,
        weights_name,
        str(entry["network"]),
        str(entry["sampler"]),
        _count(entry["training_images"]),
        _count(entry["sample_sets"], MOST_SETS),
        _count(entry["set_images"]),
        tuple(_count(steps, MOST_SETS) for steps in entry["steps"]),
        _count(entry["score_sets"]),
        # Plans of earlier versions have no curves.
        _count(entry.get("curve_sets", 0), MOST_SETS),
        _count(entry.get("curve_images", 0)),
        tuple(_count(steps, MOST_SETS) for steps in entry.get("curve_steps", ())),
    )


def _count(value: Any, most: float = 1e15) -> int:
    found = number(value)
    if found is None or not 0 <= found <= most:
        raise ValueError("no count")
    return int(found)


def _of_record(results: Path, experiment: str, name: str) -> Expected:
    """A run without a plan, from its run.json if that is readable."""
    try:
        record = json.loads((ReportLayout(results, experiment).runs / name / "run.json").read_text(encoding="utf-8"))
        training = record["run"]["training"]
        steps = -(-round(training["duration_kimg"] * 1000) // training["batch_size"])
        images = max(steps * training["batch_size"], record["run"].get("continued_to", 0))
        return Expected(experiment, name, name, training_images=_count(images))
    except Exception:  # a damaged file fails in many ways
        return Expected(experiment, name, name)
