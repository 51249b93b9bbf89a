"""The command, code, inputs and times that made each file, as far as the results record them."""

from datetime import datetime, timedelta
from typing import NamedTuple

from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.schema import Reference, SampleSet, Scored, Trained
from tdbench.reporting.crate import EXPERIMENT
from tdbench.runtime.progress_log import LogLine
from tdbench.runtime.provenance import Provenance


class Activity(NamedTuple):
    """A command that was run."""

    identifier: str
    name: str
    details: str
    """The command and, for a training, the hardware."""
    origins: list[Provenance]
    """Provenance of the code; several if a training was interrupted or sample sets were kept."""
    began: str | None
    ended: str | None
    """ISO 8601; None if unknown."""
    used: list[str]
    made: list[str]
    """Paths in the crate."""
    seed: int | None = None


def training(run: Run, log: list[LogLine], record: Trained, used: list[str], made: list[str]) -> Activity:
    parts = record.stretches
    facts = ", ".join(f"{key} {value}" for key, value in parts[-1].hardware.to_json().items())
    begun = parts[0].provenance.written_at
    return Activity(
        f"train/{run.name}",
        f"Training of {run.name}",
        f"tdbench train {EXPERIMENT} {run.name}; {facts}",
        [part.provenance for part in parts],
        begun,
        _finished(log, "train", begun),
        used,
        made,
        run.seed,
    )


def sampling(run: Run, records: list[SampleSet], used: list[str], made: list[str]) -> Activity:
    origins = [record.provenance for record in records]
    # Records have the end of a set, not its begin.
    begun = [_earlier(record.provenance.written_at, record.seconds) for record in records]
    return Activity(
        f"sample/{run.name}",
        f"Sampling of {run.name}",
        f"tdbench sample {EXPERIMENT} {run.name}",
        origins,
        min(begun),
        max(origin.written_at for origin in origins),
        used,
        made,
        run.seed,
    )


def evaluation(run: Run, log: list[LogLine], scored: Scored, used: list[str], made: list[str]) -> Activity:
    origin = scored.provenance
    return Activity(
        f"evaluate/{run.name}",
        f"Scores of {run.name}",
        f"tdbench evaluate {EXPERIMENT} {run.name}",
        [origin],
        _begun(log, "evaluate", origin.written_at),
        origin.written_at,
        used,
        made,
    )


def referring(dataset: str, facts: Reference, command: str, used: list[str], made: list[str]) -> Activity:
    origin, library = facts.provenance, facts.library
    return Activity(
        f"reference/{dataset}/{library}",
        f"Features of {dataset} by {library}",
        command,
        [origin],
        None,
        origin.written_at,
        used,
        made,
    )


def reporting(plan: Plan, origin: Provenance, used: list[str], made: list[str]) -> Activity:
    return Activity(
        f"report/{plan.experiment.name}",
        f"Report of {plan.experiment.name}",
        f"tdbench report {EXPERIMENT}",
        [origin],
        None,
        origin.written_at,
        used,
        made,
    )


def _lines(log: list[LogLine], stage: str) -> list[LogLine]:
    return [line for line in log if line.stage == stage]


def _finished(log: list[LogLine], stage: str, begun: str) -> str | None:
    lines = _lines(log, stage)
    time = lines[-1].time if lines and lines[-1].state == "finished" else ""
    # If the clock was set back meanwhile, the end is unknown.
    return time if time >= begun else None


def _begun(log: list[LogLine], stage: str, ended: str) -> str | None:
    lines = _lines(log, stage)
    time = lines[0].time if lines else ""
    # Lines of a later attempt do not apply to this one.
    return time if time and time <= ended else None


def _earlier(time: str, seconds: float) -> str:
    return (datetime.fromisoformat(time) - timedelta(seconds=seconds)).isoformat(timespec="seconds")
