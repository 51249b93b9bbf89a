"""The status of a data set's stages (data, classifier, weights, reference features) from files and log."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tdbench.experiment.extractors import EXTRACTORS
from tdbench.records.layout import DatasetLayout, weights_record
from tdbench.reporting.status.run import TAIL, sign_of_life
from tdbench.runtime.progress_log import read_log

STAGES = ("data", "classifier", "weights", "reference")


@dataclass(frozen=True)
class DatasetStage:
    """A stage of a data set.

    Attributes
    ----------
    state : str
        ``done``, ``waiting``, ``at work``, ``failed``, ``stopped`` or ``silent``.
    seconds_left : float or None
        Seconds to its end, if it is running and its rate is known.
    """

    stage: str
    state: str
    done: float | None = None
    total: float | None = None
    seconds_left: float | None = None
    note: str = ""


@dataclass(frozen=True)
class DatasetStatus:
    """The status of a data set: its stages in order."""

    name: str
    stages: list[DatasetStage] = field(default_factory=list)


def read_dataset(results: Path, name: str, entry: dict[str, Any]) -> DatasetStatus:
    """The status of a data set now.

    Parameters
    ----------
    entry : dict
        Its entry in plan.json: ``features``, ``libraries``, and the ``publishers`` of downloaded weights.
    """
    layout, features = DatasetLayout(results, name), str(entry["features"])
    files = {"data": [layout.archive, layout.summary]}
    extractor = EXTRACTORS.get(features)  # None for an extractor of a later version of tdbench
    if extractor is not None and extractor.trained_on_data:
        files["classifier"] = [layout.classifier, layout.classifier_report]
    if publishers := [str(publisher) for publisher in entry["publishers"]]:
        files["weights"] = [weights_record(results, features, publisher) for publisher in publishers]
    files["reference"] = layout.references(features, [str(library) for library in entry["libraries"]])
    return DatasetStatus(name, [_read_stage(layout, stage, files[stage]) for stage in STAGES if stage in files])


def _read_stage(layout: DatasetLayout, stage: str, files: list[Path]) -> DatasetStage:
    made = [path.stat().st_mtime for path in files if path.is_file()]
    whole = len(made) == len(files)
    line = next((line for line in reversed(read_log(layout.progress, TAIL)) if line.stage == stage), None)
    # Files that are newer than the log line take precedence over it.
    fresh = line is not None and line.state != "finished" and not (whole and min(made) > (line.epoch or 0))
    if line is None or not fresh:
        return DatasetStage(stage, "done" if whole else "waiting")
    state, note = sign_of_life(line)
    known = state == "at work" and line.rate and line.done is not None and line.total
    left = (
        (line.total - line.done) / line.rate if known and line.total and line.rate and line.done is not None else None
    )
    return DatasetStage(stage, state, line.done, line.total, left, note)
