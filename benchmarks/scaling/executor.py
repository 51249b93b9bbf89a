"""A simulating Snakemake executor: a jumping clock ends jobs, and they leave empty files.

Snakemake selects, starts, finishes and records jobs as usual. `snakemake_simulated.py` registers the executor.
"""

import itertools
import json
import os
import resource
import threading
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecMode, ExecutorSettingsBase

common_settings = CommonSettings(non_local_exec=False, implies_no_shared_fs=False, job_deploy_sources=False)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Options of the executor, which Snakemake calls ``--simulated-costs`` and ``--simulated-record``."""

    costs: Path | None = field(
        default=None, metadata={"help": "File of what jobs take", "required": True, "type": Path}
    )
    record: Path | None = field(
        default=None, metadata={"help": "File for what was done", "required": True, "type": Path}
    )
    stop_after: int = field(
        default=0, metadata={"help": "Start no more jobs after this many have ended; 0 for no limit", "type": int}
    )


class JumpingClock:
    """Replaces the semaphore on which the scheduler waits for the end of a job: waiting ends the next job.

    The scheduler also wakes itself with timers, which run in threads by the real clock. These are ignored.
    """

    def __init__(self, executor: "Executor") -> None:
        self._executor, self._released, self._owner = executor, 0, threading.get_ident()

    def acquire(self) -> None:
        if not self._released:
            self._executor.end_next()
        self._released -= 1

    def release(self) -> None:
        self._released += threading.get_ident() == self._owner


class Executor(RealExecutor):
    """Ends jobs in the order of their simulated times.

    Attributes
    ----------
    now : float
        Simulated seconds since the first job.
    """

    def __post_init__(self) -> None:
        self._begun, self._ended = _processor_s(), 0
        content = json.loads(Path(self.executor_settings.costs).read_text())
        self._costs, self._efficiency = content["jobs"], content["efficiency"]
        self.now, self._numbers = 0.0, itertools.count()
        self._running: list[tuple[float, int, Any]] = []
        self._record: list[dict[str, Any]] = []

    def run_job(self, job: Any) -> None:
        scheduler = self.workflow.scheduler
        if not hasattr(scheduler, "_open_jobs"):
            raise WorkflowError("this version of Snakemake waits for jobs differently; the simulation needs 9.27")
        if not isinstance(scheduler._open_jobs, JumpingClock):
            scheduler._open_jobs = JumpingClock(self)
        seconds = self._seconds(job)
        self._record.append(
            {
                "name": _name(job),
                "rule": job.rule.name,
                "begun": self.now,
                "ended": self.now + seconds,
                "gpus": job.resources.get("gpu", 0),
                "cores": job.threads,
                "needs": [_name(other) for other in self.dag.dependencies[job]],
            }
        )
        heappush(self._running, (self.now + seconds, next(self._numbers), job))
        self.report_job_submission(SubmittedJobInfo(job))

    def end_next(self) -> None:
        """Advance the clock to the next time at which jobs end, and end them."""
        if not self._running:
            raise WorkflowError("the scheduler waits, but no simulated job is running")
        self.now = self._running[0][0]
        while self._running and self._running[0][0] == self.now:
            job = heappop(self._running)[2]
            self._ended += 1
            if self._ended == self.executor_settings.stop_after:
                self.workflow.scheduler.exit_gracefully()
            for path in map(Path, job.output):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            self.report_job_success(SubmittedJobInfo(job))

    def _seconds(self, job: Any) -> float:
        """Return the seconds of a job with its resources."""
        if not job.output:
            return 0.0
        if (cost := self._costs.get(_name(job))) is None:
            raise WorkflowError(f"{_name(job)}: the file of costs has no entry for this job")
        count = max(1, job.resources.get(cost["by"], 1)) if cost["by"] else 1
        speed = count * self._efficiency if count > 1 else 1.0
        return float(cost["fixed_s"] + cost["shared_s"] / speed)

    def shutdown(self) -> None:
        facts = {
            "planning_s": self._begun,
            "scheduling_s": _processor_s() - self._begun,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "jobs": self._record,
        }
        Path(self.executor_settings.record).write_text(json.dumps(facts))

    def cancel(self) -> None:
        """Do nothing, because no real process runs."""

    def get_python_executable(self) -> str:
        raise NotImplementedError("simulated jobs start no Python")

    def get_exec_mode(self) -> ExecMode:
        raise NotImplementedError("simulated jobs start no Snakemake")

    @property
    def cores(self) -> Any:
        return self.workflow.resource_settings.cores


def _processor_s() -> float:
    """Return the CPU seconds of this process and its children so far."""
    return sum(os.times()[:4])


def _name(job: Any) -> str:
    """Return the first output of a job, or its rule if it has no output."""
    return str(job.output[0]) if job.output else str(job.rule.name)
