"""Runs one simulated Snakemake call and reads its outcome."""

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
    """A finished job, with times in simulated seconds since the first job."""

    name: str
    rule: str
    begun: float
    ended: float
    gpus: int
    cores: int
    needs: list[str]
    """Names of the jobs that it depends on."""

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


@dataclass(frozen=True)
class Outcome:
    """The outcome of a simulated call."""

    jobs: list[Job]
    gpus: int
    cores: int
    planning_s: float
    """CPU seconds from the start of the command to the first job: imports, Snakefile, graph."""
    scheduling_s: float
    """CPU seconds from there to the end of the last job."""
    peak_mb: float

    @property
    def wall_s(self) -> float:
        return max(job.ended for job in self.jobs)

    @property
    def gpu_s(self) -> float:
        """GPU seconds that jobs occupied."""
        return sum(job.gpus * job.seconds for job in self.jobs)

    @property
    def core_s(self) -> float:
        """Core seconds that jobs occupied."""
        return sum(job.cores * job.seconds for job in self.jobs)

    @property
    def utilisation(self) -> float:
        """Share of the GPU time that jobs occupied."""
        return self.gpu_s / (self.gpus * self.wall_s)

    @cached_property
    def critical_path(self) -> list[Job]:
        """The longest chain of dependent jobs, first to last; no number of GPUs makes it shorter."""
        by_name = {job.name: job for job in self.jobs}
        longest: dict[str, float] = {}
        # A job comes after its dependencies, because they end before it begins.
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
        """A lower bound on the time, for any order of the jobs on these GPUs and cores."""
        return max(self.critical_s, self.gpu_s / self.gpus, self.core_s / self.cores)


def simulate(
    snakefile: Path, costs: dict[str, Cost], gpus: int, cores: int, efficiency: float, *more: str, stop_after: int = 0
) -> Outcome:
    """Run a workflow with Snakemake in simulated time.

    Parameters
    ----------
    costs : dict
        First output of a job -> its cost.
    gpus, cores : int
        GPUs and cores available to jobs.
    efficiency : float
        Speed-up of n > 1 GPUs or processes that share a job, divided by n.
    *more : str
        Further arguments for Snakemake.
    stop_after : int
        Start no more jobs after this many have ended; 0 for no limit.

    Raises
    ------
    TdbenchError
        If Snakemake fails; with the end of its output.
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
            # A limit in real time, which is meaningless here.
            "--max-jobs-per-timespan",
            "1000000/1s",
            "--simulated-stop-after",
            str(stop_after),
            *more,
        ]
        # Among equal jobs Snakemake takes the first of a set, and its order depends on string hashes.
        settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
        done = subprocess.run(command, cwd=work, env=settings, capture_output=True, text=True)
        # Snakemake counts a call as failed if it stops before the end.
        if (done.returncode and not stop_after) or not record.exists():
            raise TdbenchError(f"{snakefile}: Snakemake failed:\n{(done.stderr or done.stdout)[-2000:]}")
        found = json.loads(record.read_text())
    jobs = [Job(**job) for job in found["jobs"]]
    return Outcome(jobs, gpus, cores, found["planning_s"], found["scheduling_s"], found["peak_mb"])
