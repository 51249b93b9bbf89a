"""Which command made a file, by which code, from what, and when: as far as the results themselves say so."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tdbench.experiment.run import Plan, Run
from tdbench.records.layout import RunLayout
from tdbench.reporting.crate import EXPERIMENT
from tdbench.runtime.files import json_lines


class Activity(NamedTuple):
    """One command that was run."""

    identifier: str
    name: str
    details: str
    """The command, and what else a person would ask for."""
    origins: list[dict[str, Any]]
    """`provenance` of the code; several where a training was interrupted, or sample sets were kept."""
    began: str | None
    ended: str | None
    """ISO 8601; None where nothing says when."""
    used: list[str]
    made: list[str]
    """Paths in the crate."""
    seed: int | None = None


def training(run: Run, layout: RunLayout, record: dict[str, Any], used: list[str], made: list[str]) -> Activity:
    parts = record["parts"]
    facts = ", ".join(f"{key} {value}" for key, value in parts[-1]["hardware"].items())
    begun = parts[0]["provenance"]["written_at"]
    return Activity(
        f"train/{run.name}",
        f"Training of {run.name}",
        f"tdbench train {EXPERIMENT} {run.name}; {facts}",
        [part["provenance"] for part in parts],
        begun,
        _finished(layout, "train", begun),
        used,
        made,
        run.seed,
    )


def sampling(run: Run, records: list[dict[str, Any]], used: list[str], made: list[str]) -> Activity:
    origins = [record["provenance"] for record in records]
    # A record is written when its set is done.
    begun = [_earlier(record["provenance"]["written_at"], record["seconds"]) for record in records]
    return Activity(
        f"sample/{run.name}",
        f"Sampling of {run.name}",
        f"tdbench sample {EXPERIMENT} {run.name}",
        origins,
        min(begun),
        max(origin["written_at"] for origin in origins),
        used,
        made,
        run.seed,
    )


def evaluation(run: Run, layout: RunLayout, scored: dict[str, Any], used: list[str], made: list[str]) -> Activity:
    origin = scored["provenance"]
    return Activity(
        f"evaluate/{run.name}",
        f"Scores of {run.name}",
        f"tdbench evaluate {EXPERIMENT} {run.name}",
        [origin],
        _begun(layout, "evaluate", origin["written_at"]),
        origin["written_at"],
        used,
        made,
    )


def referring(dataset: str, facts: dict[str, Any], command: str, used: list[str], made: list[str]) -> Activity:
    origin, library = facts["provenance"], facts["library"]
    return Activity(
        f"reference/{dataset}/{library}",
        f"Features of {dataset} by {library}",
        command,
        [origin],
        None,
        origin["written_at"],
        used,
        made,
    )


def reporting(plan: Plan, origin: dict[str, Any], used: list[str], made: list[str]) -> Activity:
    return Activity(
        f"report/{plan.experiment.name}",
        f"Report of {plan.experiment.name}",
        f"tdbench report {EXPERIMENT}",
        [origin],
        None,
        origin["written_at"],
        used,
        made,
    )


def _lines(layout: RunLayout, stage: str) -> list[dict[str, Any]]:
    return [line for line in json_lines(layout.progress, last_bytes=None) if line.get("stage") == stage]


def _finished(layout: RunLayout, stage: str, begun: str) -> str | None:
    lines = _lines(layout, stage)
    time = lines[-1].get("time") if lines and lines[-1].get("state") == "finished" else None
    # Where the clock was put back meanwhile, nothing says when it ended.
    return time if isinstance(time, str) and time >= begun else None


def _begun(layout: RunLayout, stage: str, ended: str) -> str | None:
    lines = _lines(layout, stage)
    time = lines[0].get("time") if lines else None
    # Those of a later attempt say nothing about this one.
    return time if isinstance(time, str) and time <= ended else None


def _earlier(time: str, seconds: float) -> str:
    return (datetime.fromisoformat(time) - timedelta(seconds=seconds)).isoformat(timespec="seconds")
