"""What Snakemake keeps of its calls: how long a call took, on how many cores, and when each job began and ended."""

import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tdbench.errors import TdbenchError


class Call(NamedTuple):
    """A call of Snakemake, as its log tells."""

    begun: datetime
    wall_s: float
    cores: int


class Job(NamedTuple):
    """A job, as the records of its outputs tell."""

    rule: str
    begun: float
    """Seconds since 1970."""
    ended: float
    outputs: list[Path]

    @property
    def wall_s(self) -> float:
        return self.ended - self.begun


def newest_log(workdir: Path) -> Path:
    """The log of the last call in a folder; their names begin with the time."""
    logs = sorted((workdir / ".snakemake" / "log").glob("*.snakemake.log"))
    if not logs:
        raise TdbenchError(f"{workdir}/.snakemake/log: no log of Snakemake; name the folder where it ran (--workdir)")
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
        raise TdbenchError(f"{log}: lacks date, elapsed time or number of cores; give --log that of a call that ended")
    date, elapsed, cores = (match.groups() for match in found if match)
    days, hours, minutes, seconds = (float(part or 0) for part in elapsed)
    wall = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    return Call(datetime.fromisoformat(date[0]), wall, int(cores[0]))


def read_jobs(workdir: Path, call: Call, results: Path) -> list[Job]:
    """The jobs of a call whose outputs lie in ``results``, in the order of their start."""
    folder, jobs = workdir / ".snakemake" / "metadata", {}
    first, last = call.begun.timestamp(), call.begun.timestamp() + call.wall_s + 1  # the date is in whole seconds
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        # An output's name in base64; a long one is cut into folders, each marked by an @.
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        output = workdir / base64.urlsafe_b64decode(name).decode()
        record: dict[str, Any] = json.loads(path.read_text())
        begun, ended = record["starttime"], record["endtime"]
        ours = output.resolve().is_relative_to(results.resolve())
        if ended is None or not (ours and first <= begun and ended <= last):
            continue
        # A job leaves a record an output, with the same hash; their times differ by the writing of the records.
        job = jobs.setdefault((record["rule"], record["job_hash"]), Job(record["rule"], begun, ended, []))
        job.outputs.append(output)
    return sorted(jobs.values(), key=lambda job: job.begun)
