"""Provenance of results: time and host of each stage, failures and interruptions, hardware, versions."""

from collections import Counter
from datetime import UTC, datetime
from importlib import metadata

import pandas as pd

from tdbench.experiment.plan import Plan
from tdbench.records.stages import STAGES
from tdbench.reporting.findings import Findings
from tdbench.reporting.status.expected import Expected
from tdbench.reporting.status.run import find_stand
from tdbench.runtime.provenance import versions


def stage_times(found: Findings) -> pd.DataFrame:
    """Begin, end and host of every stage of every run, from its progress.jsonl (UTC); empty cells if not logged.

    The log of a stage holds its last attempt. A run that samples the weights of another run has no training.
    """
    rows = []
    for run in found.plan.runs.values():
        row: dict[str, str | None] = {"run": run.name}
        if run.weights_name != run.name:
            row["weights of"] = run.weights_name
        lines = found.records.of(run).progress
        for stage in STAGES.values():
            mine = [line for line in lines if line.stage == stage.name and line.epoch is not None]
            ended = [line.epoch for line in mine if line.state == "finished"]
            row[f"{stage.doing} from"] = _clock(mine[0].epoch) if mine else None
            row[f"{stage.doing} to"] = _clock(ended[-1]) if ended else None
        row["host"] = ", ".join(dict.fromkeys(line.host for line in lines if line.host))
        rows.append(row)
    return pd.DataFrame(rows)


def span(found: Findings) -> str:
    """Begin and end of all stages, ``2026-11-24 12:00:00 to 2026-11-24 12:20:00 UTC``; "" without any log."""
    logs = [found.records.of(run).progress for run in found.plan.runs.values()]
    times = [line.epoch for log in logs for line in log if line.epoch is not None]
    return f"{_clock(min(times))} to {_clock(max(times))} UTC" if times else ""


def failures(found: Findings) -> pd.DataFrame:
    """Runs that are not done, with the reason, and trainings that were interrupted and resumed; empty if none."""
    rows = []
    for run in found.plan.runs.values():
        expected = Expected(run.experiment, run.name, run.weights_name)
        # The page has read the files of the stages, so they are complete; only the log can show a later attempt.
        stand = find_stand(found.results, expected, found.records.of(run).progress, lambda layout, stage: 1)
        if stand.state != "done":
            rows.append(
                {"run": run.name, "stage": STAGES[stand.stage].doing, "state": stand.state, "reason": stand.note}
            )
        if run.weights_name != run.name:
            continue
        begun = [part.from_step for part in found.records.of(run).origin.stretches]
        if len(begun) > 1:
            steps = ", ".join(str(step) for step in begun[1:])
            reason = f"resumed from checkpoints after step {steps}"
            rows.append({"run": run.name, "stage": STAGES["train"].doing, "state": "interrupted", "reason": reason})
    return pd.DataFrame(rows)


def hardware(found: Findings) -> pd.DataFrame:
    """The machines that trained, with the number of trainings on each."""
    parts = [
        part.hardware
        for name in _trained(found.plan)
        for part in found.records.of(found.plan.runs[name]).origin.stretches
    ]
    counted = Counter(tuple(part.to_json().items()) for part in parts)
    return pd.DataFrame([dict(machine) | {"trainings": count} for machine, count in counted.items()])


def library_versions(found: Findings) -> pd.DataFrame:
    """Libraries that results depend on: their versions in the trainings and for this page."""
    here = versions()
    trained: dict[str, Counter[str]] = {name: Counter() for name in here}
    for name in _trained(found.plan):
        for library, version in found.records.of(found.plan.runs[name]).origin.provenance.versions.items():
            trained.setdefault(library, Counter())[version] += 1
    return pd.DataFrame(
        [
            {"library": name, "in training": ", ".join(seen), "for this page": here.get(name)}
            for name, seen in trained.items()
        ]
    )


def installed() -> list[str]:
    """Every package of the current environment, ``name==version``."""
    found = {dist.name.lower(): f"{dist.name}=={dist.version}" for dist in metadata.distributions()}
    return [found[name] for name in sorted(found)]


def _trained(plan: Plan) -> list[str]:
    return list(dict.fromkeys(run.weights_name for run in plan.runs.values()))


def _clock(epoch: float | None) -> str | None:
    """Date and time in UTC."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")
