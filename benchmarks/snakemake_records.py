"""Reads Snakemake's records: the duration and cores of a call, and the start and end of each job."""

import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tdbench.errors import TdbenchError


class Call(NamedTuple):
    """A Snakemake call, from its log."""

    begun: datetime
    wall_s: float
    cores: int


class Job(NamedTuple):
    """A job, from the records of its outputs."""

    rule: str
    begun: float
    """Seconds since 1970."""
    ended: float
    outputs: list[Path]

    @property
    def wall_s(self) -> float:
        return self.ended - self.begun


def newest_log(workdir: Path) -> Path:
    """Return the log of the last call in a folder; the names of logs begin with the time."""
    logs = sorted((workdir / ".snakemake" / "log").glob("*.snakemake.log"))
    if not logs:
        raise TdbenchError(
            f"{workdir}/.snakemake/log: no log of Snakemake; give the folder where it ran with --workdir"
        )
    return logs[-1]


def read_call(log: Path) -> Call:
    """Read a log.

    Raises
    ------
    TdbenchError
        If the call has not ended, or the log lacks something.
    """
    text = log.read_text()
    found = [
        re.search(pattern, text, re.MULTILINE)
        for pattern in (
            r"^ *Date: (.+)$",
            r"^Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)$",
            r"^Provided cores: (\d+)",
        )
    ]
    if not all(found):
        raise TdbenchError(
            f"{log}: date, elapsed time or number of cores is missing; give --log the log of a finished call"
        )
    date, elapsed, cores = (match.groups() for match in found if match)
    days, hours, minutes, seconds = (float(part or 0) for part in elapsed)
    wall = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    return Call(datetime.fromisoformat(date[0]), wall, int(cores[0]))


def read_jobs(workdir: Path, call: Call, results: Path) -> list[Job]:
    """Return the jobs of a call with outputs in ``results``, in the order of their start."""
    folder, jobs = workdir / ".snakemake" / "metadata", {}
    first, last = call.begun.timestamp(), call.begun.timestamp() + call.wall_s + 1  # the date is in whole seconds
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        # The file name is the output's path in base64. A long one is split into folders, each with a leading @.
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        output = workdir / base64.urlsafe_b64decode(name).decode()
        record: dict[str, Any] = json.loads(path.read_text())
        begun, ended = record["starttime"], record["endtime"]
        ours = output.resolve().is_relative_to(results.resolve())
        if ended is None or not (ours and first <= begun and ended <= last):
            continue
        # A job has one record per output, all with the same hash; their times differ slightly.
        job = jobs.setdefault((record["rule"], record["job_hash"]), Job(record["rule"], begun, ended, []))
        job.outputs.append(output)
    return sorted(jobs.values(), key=lambda job: job.begun)
