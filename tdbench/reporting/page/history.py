"""Where results come from: when each stage ran and where, what failed or was cut short, hardware, versions."""

from collections import Counter
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from tdbench.experiment.run import Plan
from tdbench.records.layout import RunLayout
from tdbench.records.schema import Origin, read_record
from tdbench.reporting.status.run import STAGES, Expected, number, read_stand
from tdbench.runtime import advice
from tdbench.runtime.files import json_lines
from tdbench.runtime.provenance import versions


def stage_times(plan: Plan, results: Path) -> pd.DataFrame:
    """Begin, end and host of every stage of every run, from its progress.jsonl (UTC); empty cells where it is silent.

    The log of a stage holds its last attempt. A run that samples another one's weights has no training of its own.
    """
    rows = []
    for run in plan.runs.values():
        layout = RunLayout(results, run)
        row: dict[str, Any] = {"run": run.name}
        if run.weights_name != run.name:
            row["weights of"] = run.weights_name
        lines = json_lines(layout.progress, last_bytes=None)
        for stage, label in STAGES.items():
            mine = [line for line in lines if line.get("stage") == stage and _is_time(line.get("epoch"))]
            ended = [line["epoch"] for line in mine if line.get("state") == "finished"]
            row[f"{label} from"] = _clock(mine[0]["epoch"]) if mine else None
            row[f"{label} to"] = _clock(ended[-1]) if ended else None
        row["host"] = ", ".join(dict.fromkeys(str(line["host"]) for line in lines if "host" in line))
        rows.append(row)
    return pd.DataFrame(rows)


def span(plan: Plan, results: Path) -> str:
    """From when to when the stages ran, ``2026-11-24 12:00:00 to 2026-11-24 12:20:00 UTC``; "" without any log."""
    logs = [json_lines(RunLayout(results, run).progress, last_bytes=None) for run in plan.runs.values()]
    times = [line["epoch"] for log in logs for line in log if _is_time(line.get("epoch"))]
    return f"{_clock(min(times))} to {_clock(max(times))} UTC" if times else ""


def failures(plan: Plan, results: Path) -> pd.DataFrame:
    """Runs that are not done, with their reason, and trainings that were cut short and went on; empty if none."""
    rows = []
    for run in plan.runs.values():
        stand = read_stand(results, Expected(run.experiment, run.name, run.weights_name))
        if stand.state != "done":
            rows.append({"run": run.name, "stage": STAGES[stand.stage], "state": stand.state, "reason": stand.note})
        if run.weights_name != run.name:
            continue
        begun = [part["from_step"] for part in _parts(_record(plan, run.name, results))]
        if len(begun) > 1:
            steps = ", ".join(str(step) for step in begun[1:])
            reason = f"went on from checkpoints after step {steps}"
            rows.append({"run": run.name, "stage": STAGES["train"], "state": "cut short", "reason": reason})
    return pd.DataFrame(rows)


def hardware(plan: Plan, results: Path) -> pd.DataFrame:
    """The machines that trained, with the number of trainings on each."""
    parts = [part["hardware"] for name in _trained(plan) for part in _parts(_record(plan, name, results))]
    counted = Counter(tuple(part.items()) for part in parts)
    return pd.DataFrame([dict(machine) | {"trainings": count} for machine, count in counted.items()])


def library_versions(plan: Plan, results: Path) -> pd.DataFrame:
    """Libraries that results depend on: the versions that trained and those that wrote the page."""
    here = versions()
    trained: dict[str, Counter[str]] = {name: Counter() for name in here}
    for name in _trained(plan):
        for library, version in _record(plan, name, results)["provenance"]["versions"].items():
            trained.setdefault(library, Counter())[version] += 1
    return pd.DataFrame(
        [
            {"library": name, "of trainings": ", ".join(seen), "of this page": here.get(name)}
            for name, seen in trained.items()
        ]
    )


def installed() -> list[str]:
    """Every package of the environment that writes the page, ``name==version``."""
    found = {dist.name.lower(): f"{dist.name}=={dist.version}" for dist in metadata.distributions()}
    return [found[name] for name in sorted(found)]


def _trained(plan: Plan) -> list[str]:
    return list(dict.fromkeys(run.weights_name for run in plan.runs.values()))


def _record(plan: Plan, name: str, results: Path) -> dict[str, Any]:
    run = plan.runs[name]
    return read_record(RunLayout(results, run).settings, advice.stage("train", run, results), Origin)


def _parts(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The stretches of a training; results from before there were checkpoints have one."""
    parts: list[dict[str, Any]] = record.get("parts") or [{"from_step": 0, "hardware": record["hardware"]}]
    return parts


def _is_time(epoch: Any) -> bool:
    """Whether it is a moment that a calendar has; a damaged line may say anything."""
    return 0 < (number(epoch) or 0) < 1e11


def _clock(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S")
