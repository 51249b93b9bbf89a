"""One simulated call of Snakemake, and what it says."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.scaling.costs import Cost, write_costs
from tdbench.errors import TdbenchError

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """A job as it was done: simulated seconds since the first one."""

    name: str
    rule: str
    begun: float
    ended: float
    gpus: int
    cores: int
    needs: list[str]
    """Names of the jobs whose output it reads."""

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


@dataclass(frozen=True)
class Outcome:
    """What a simulated call came to."""

    jobs: list[Job]
    gpus: int
    cores: int
    planning_s: float
    """Seconds of a processor from the start of the command to the first job: imports, Snakefile, graph."""
    scheduling_s: float
    """Seconds of a processor from there to the end of the last job."""
    peak_mb: float

    @property
    def wall_s(self) -> float:
        return max(job.ended for job in self.jobs)

    @property
    def gpu_s(self) -> float:
        """GPU seconds that jobs held."""
        return sum(job.gpus * job.seconds for job in self.jobs)

    @property
    def core_s(self) -> float:
        """Core seconds that jobs held."""
        return sum(job.cores * job.seconds for job in self.jobs)

    @property
    def utilisation(self) -> float:
        """Share of the GPUs' time that jobs held."""
        return self.gpu_s / (self.gpus * self.wall_s)

    @cached_property
    def critical_path(self) -> list[Job]:
        """The longest chain of jobs that need each other, first to last: no number of GPUs makes it shorter."""
        by_name = {job.name: job for job in self.jobs}
        longest: dict[str, float] = {}
        # What a job needs ended before it began, hence comes earlier.
        for job in sorted(self.jobs, key=lambda job: (job.begun, job.ended)):
            longest[job.name] = job.seconds + max((longest[name] for name in job.needs if name in longest), default=0.0)
        last = max(self.jobs, key=lambda job: longest[job.name])
        path = [last]
        while before := [by_name[name] for name in path[0].needs if name in by_name]:
            path.insert(0, max(before, key=lambda job: longest[job.name]))
        return path

    @property
    def critical_s(self) -> float:
        return sum(job.seconds for job in self.critical_path)

    @property
    def bound_s(self) -> float:
        """The least time that any order of the jobs takes on these GPUs and cores."""
        return max(self.critical_s, self.gpu_s / self.gpus, self.core_s / self.cores)


def simulate(
    snakefile: Path, costs: dict[str, Cost], gpus: int, cores: int, efficiency: float, *more: str, stop_after: int = 0
) -> Outcome:
    """Let Snakemake do a workflow in simulated time.

    Parameters
    ----------
    costs : dict
        First output -> what that job takes.
    gpus, cores : int
        What there is to give to jobs.
    efficiency : float
        n GPUs or processes that share a job are as fast as n times this, for n > 1.
    *more : str
        Further arguments of Snakemake.
    stop_after : int
        Start no more jobs when so many have ended; 0 for all.

    Raises
    ------
    TdbenchError
        If Snakemake fails, with the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="tdbench-scaling-") as folder:
        work = Path(folder)
        given, record = work / "costs.json", work / "record.json"
        write_costs(given, costs, efficiency)
        command = [
            sys.executable,
            "-m",
            "benchmarks.scaling.snakemake_simulated",
            "--snakefile",
            str(snakefile.resolve()),
            "--directory",
            str(work / "work"),
            "--executor",
            "simulated",
            "--simulated-costs",
            str(given),
            "--simulated-record",
            str(record),
            "--cores",
            str(cores),
            "--resources",
            f"gpu={gpus}",
            "--no-hooks",
            # A limit by the real clock, which says nothing here.
            "--max-jobs-per-timespan",
            "1000000/1s",
            "--simulated-stop-after",
            str(stop_after),
            *more,
        ]
        # Of equal jobs Snakemake takes the first of a set, whose order hangs on the hashes of strings.
        settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(command, cwd=work, env=settings, capture_output=True, text=True)
        # A call that was told to stop before the end counts as failed.
        if (done.returncode and not stop_after) or not record.exists():
            raise TdbenchError(f"{snakefile}: Snakemake failed:\n{(done.stderr or done.stdout)[-2000:]}")
        found = json.loads(record.read_text())
    jobs = [Job(**job) for job in found["jobs"]]
    return Outcome(jobs, gpus, cores, found["planning_s"], found["scheduling_s"], found["peak_mb"])
