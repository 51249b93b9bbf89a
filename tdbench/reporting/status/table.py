"""The output of `tdbench status`: text and tables that fit the terminal."""

import json
import shutil
import sys
import textwrap
import time
from collections import Counter, defaultdict
from pathlib import Path

from tabulate import tabulate

from tdbench.records.stages import STAGES
from tdbench.reporting.status.dataset import DatasetStatus
from tdbench.reporting.status.experiment import ExperimentStatus, read_status
from tdbench.reporting.status.run import AT_WORK, TROUBLE, RunStatus, clock

_ORDER = ("done", "at work", "waiting", *TROUBLE)
_COLUMNS = (*(stage.waiting for stage in STAGES.values()), "at work", "in trouble", "done")
_SHORTEST_NAME, _NOTES = 16, 20


def show_status(results: Path, every_run: bool, watch_s: float | None, as_json: bool) -> None:
    """Print the status of every experiment, once or every ``watch_s`` seconds until interrupted.

    Raises
    ------
    TdbenchError
        If the folder does not exist or holds no experiment.
    """
    try:
        while True:
            text = _status(results, every_run, as_json)
            if watch_s is None:
                print(text)
                return
            live = sys.stdout.isatty() and not as_json
            stamp = "" if as_json else time.strftime("%H:%M:%S") + "\n"
            print(f"\033[H\033[2J{stamp}{text}" if live else f"{stamp}{text}", flush=True)
            time.sleep(watch_s)
    except KeyboardInterrupt:
        return


def _status(results: Path, every_run: bool, as_json: bool) -> str:
    experiments = read_status(results)
    if as_json:
        return json.dumps({"results": str(results), "experiments": [e.plain() for e in experiments]})
    width = shutil.get_terminal_size((120, 24)).columns
    return "\n\n".join(describe(experiment, every_run, width) for experiment in experiments)


def describe(experiment: ExperimentStatus, every_run: bool, width: int) -> str:
    """The status of an experiment: counts, runs at work and in trouble, notes, and all other runs by group."""
    statuses = experiment.statuses
    prefix = _common_data_set(statuses)
    shown = [status for status in statuses if every_run or status.state not in ("done", "waiting")]
    parts = [_heading(experiment, width)]
    if shown:
        parts.append(_runs_table(shown, prefix, width))
    noted = [status for status in statuses if status.note]
    listed = noted if every_run else noted[:_NOTES]
    notes = [_wrapped(f"{_name(status, prefix)}: {_reason(status)}", width) for status in listed]
    notes += [f"{len(noted) - len(listed)} more runs have a note; --all shows them"] * (len(listed) < len(noted))
    if notes:
        parts.append("\n".join(notes))
    if not every_run and len(shown) < len(statuses):
        parts.append(_groups_table(statuses, prefix, width))
    return "\n\n".join(parts)


def _heading(experiment: ExperimentStatus, width: int) -> str:
    counts = experiment.counts()
    said = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    lines = [f"{experiment.name}: {len(experiment.statuses)} runs: {said or 'none'}"]
    if counts["at work"] or counts["waiting"]:
        lines.append(f"time left: {_whole_time(experiment, counts)}")
    lines += [_dataset_line(dataset) for dataset in experiment.datasets]
    if experiment.others:
        lines.append(f"{experiment.others} more runs in its folder are not in the plan")
    return "\n".join(_wrapped(line, width) for line in [*lines, *filter(None, [experiment.note])])


def _dataset_line(dataset: DatasetStatus) -> str:
    """``data set digits: data done, classifier at work, 45 %, about 2 min left``."""
    if all(stage.state == "done" for stage in dataset.stages):
        return f"data set {dataset.name}: {', '.join(stage.stage for stage in dataset.stages)} done"
    said = []
    for stage in dataset.stages:
        share = f", {int(100 * stage.done / stage.total)} %" if stage.done is not None and stage.total else ""
        left = "" if stage.seconds_left is None else f", about {duration(stage.seconds_left)} left"
        note = f" ({stage.note})" if stage.note else ""
        said.append(f"{stage.stage} {stage.state}{share if stage.state != 'done' else ''}{left}{note}")
    return f"data set {dataset.name}: {'; '.join(said)}"


def _whole_time(experiment: ExperimentStatus, counts: Counter[str]) -> str:
    left = experiment.seconds_left
    if not left:
        return "– (nothing is at work)"
    known = {STAGES[stage].doing: seconds for stage, seconds in left.items() if seconds is not None}
    unknown = [STAGES[stage].doing for stage, seconds in left.items() if seconds is None]
    if not known:
        return f"– ({', '.join(unknown)}: not measured yet)"
    pace = f"{counts['at work']} at a time, at the pace so far"
    if not unknown:
        return f"about {duration(sum(known.values()))}, {pace}"
    said = ", ".join(f"about {duration(seconds)} of {name}" for name, seconds in known.items())
    return f"{said}, {pace}; {' and '.join(unknown)} not measured yet"


def _runs_table(statuses: list[RunStatus], prefix: str, width: int) -> str:
    rows = [[_name(status, prefix), *_figures(status)] for status in statuses]
    headers = ["run", "state", "", "done", "rate", "time left"]
    return _table(rows, headers, ("left", "left", "right", "left", "right", "right"), width)


def _figures(status: RunStatus) -> list[str]:
    """State, percentage, amount, rate and time left of a run."""
    state = STAGES[status.stage].waiting if status.state == "waiting" else status.state
    if status.done is None or not status.total:
        return [state, "", "", "", ""]
    # Rounded down, so that only finished work shows 100 %.
    share, unit = f"{int(100 * status.done / status.total)} %", status.unit or ""
    done = f"{_short(status.done)}/{_short(status.total)} {unit}"
    at_work = status.state in AT_WORK
    rate = f"{_short(status.rate)} {unit}/s" if status.rate is not None else "–" * at_work
    left = duration(status.seconds_left) if status.seconds_left is not None else "–" * at_work
    return [state, share, done, rate, left]


def _reason(status: RunStatus) -> str:
    """Why a run is in trouble, and in which stage."""
    if status.state == "failed" and status.since is not None:
        return f"failed in {STAGES[status.stage].doing} at {clock(status.since)}: {status.note}"
    return f"stopped in {STAGES[status.stage].doing}: {status.note}" if status.state == "stopped" else status.note


def _groups_table(statuses: list[RunStatus], prefix: str, width: int) -> str:
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for status in statuses:
        groups[status.run.group][_kind(status)] += 1
    columns = [column for column in _COLUMNS if any(counts[column] for counts in groups.values())]
    rows = [
        [name.removeprefix(prefix), f"{counts.total()}", *(str(counts[column] or "") for column in columns)]
        for name, counts in groups.items()
    ]
    return _table(rows, ["all runs of", "runs", *columns], ("left", *["right"] * (len(columns) + 1)), width)


def _kind(status: RunStatus) -> str:
    """The column in which a run is counted."""
    if status.state == "waiting":
        return STAGES[status.stage].waiting
    return "at work" if status.state in AT_WORK else "in trouble" if status.state in TROUBLE else status.state


def _table(rows: list[list[str]], headers: list[str], align: tuple[str, ...], width: int) -> str:
    """A table; names in its first column are shortened if it is wider than the terminal."""
    longest = max(len(row[0]) for row in rows)
    text = _drawn(rows, headers, align)
    excess = max(map(len, text.splitlines())) - width
    if excess <= 0:
        return text
    room = max(longest - excess, _SHORTEST_NAME)
    return _drawn([[_shortened(row[0], room), *row[1:]] for row in rows], headers, align)


def _drawn(rows: list[list[str]], headers: list[str], align: tuple[str, ...]) -> str:
    # Headers are passed as a row, because tabulate widens headers by two spaces.
    text = tabulate([headers, *rows], tablefmt="plain", colalign=align, disable_numparse=True)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _common_data_set(statuses: list[RunStatus]) -> str:
    """The common prefix of all names if there is only one data set, to be removed from every line."""
    found = {status.run.name.partition("/")[0] + "/" for status in statuses}
    return found.pop() if len(found) == 1 else ""


def _name(status: RunStatus, prefix: str) -> str:
    return status.run.name.removeprefix(prefix)


def _shortened(name: str, room: int) -> str:
    """A name with its middle cut out, because its end names the seed."""
    return name if len(name) <= room else f"{name[: room - room // 2 - 1]}…{name[len(name) - room // 2 :]}"


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _short(value: float) -> str:
    """A number with at most four digits: 12.8k."""
    for unit, least, suffix in ((1e6, 1e6, "M"), (1e3, 1e4, "k")):
        if value >= least:
            return f"{value / unit:.4g}{suffix}"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A time in its two largest units: 2 h 05 min."""
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"
