"""Several processes that share one piece of work, on one machine or on several machines through torchrun.

`launch` starts them with torchrun's engine, and each of them enters `joined`. Only the first process, the leader,
writes. Control messages and sums of figures use gloo, even where gradients use NCCL.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psutil
import torch
from torch import Tensor, distributed

from tdbench.errors import Stopped, TdbenchError
from tdbench.runtime.signals import StopRequest, stop_on_request
from tdbench.runtime.torchrun import process_count, rank

TIMEOUT = timedelta(hours=1)
"""Timeout for the other processes: the leader may be writing a large checkpoint to a slow disk."""


@dataclass(frozen=True)
class World:
    """The group of processes, as one of them sees it."""

    rank: int = 0
    """Number of this process, from 0."""
    count: int = 1
    parent: int = field(default_factory=os.getppid)
    """Process id of the parent."""

    @property
    def leader(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """Return this process's part of ``total`` images; contiguous, in rank order, of nearly equal size."""
        return slice(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of the tensors of all processes (on the CPU, of equal shape) in every process."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def lost_parent(self) -> bool:
        """Return whether the parent of several processes was killed; then nothing else would end them."""
        return self.count > 1 and os.getppid() != self.parent

    def broadcast(self, value: int) -> int:
        """Return the leader's value in all processes."""
        return int(self.sum(torch.tensor(int(value) if self.leader else 0)))


ALONE = World()


@dataclass
class Vote:
    """The largest number of any process, agreed on without waiting: each answer arrives one step late.

    So all processes act after the same step, although a signal reaches each of them at a different moment.
    """

    world: World
    _pending: tuple[Any, Tensor] | None = field(default=None, init=False)

    def __call__(self, wish: int) -> int:
        """Vote; every process calls this once per step and gets the result of the step before."""
        if self.world.count == 1:
            return wish
        answer = self.close()
        vote = torch.tensor(wish)
        self._pending = (distributed.all_reduce(vote, distributed.ReduceOp.MAX, async_op=True), vote)
        return answer

    def close(self) -> int:
        """Return the result of the last step."""
        if self._pending is None:
            return 0
        work, vote = self._pending
        work.wait()
        self._pending = None
        return int(vote)


@contextmanager
def joined() -> Iterator[World]:
    """Connect the processes that torchrun started; without torchrun the world is this process alone."""
    if process_count() == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield World(rank(), process_count())
    except RuntimeError as error:
        if "gloo" not in str(error):
            raise
        # Another process ended first and has printed its error.
        raise TdbenchError(
            f"process {rank()} of {process_count()}: lost the connection to the other processes"
        ) from error
    # Not after an error: the others may wait for this process, and torchrun ends them.
    distributed.destroy_process_group()


def launch(processes: int, arguments: list[str]) -> None:
    """Run ``tdbench ARGUMENTS`` in several processes on this machine, as ``torchrun --standalone`` does.

    Raises
    ------
    TdbenchError
        If one of them was killed. If one failed, it has printed its error, and this process exits with its code.
    Stopped
        If this process was asked to stop. It has passed the request on, and the others have ended.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # torchrun would log a table and warnings after the messages of the processes; nothing else logs here.
    logging.disable(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"tdbench-{os.getpid()}",
        max_restarts=0,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        monitor_interval=0.1,
    )
    # A thread, because in the main thread torchrun's engine installs signal handlers that raise at any point.
    with stop_on_request() as stop, ThreadPoolExecutor(max_workers=1) as pool:
        work = pool.submit(elastic_launch(config, sys.executable), "-m", "tdbench", *arguments)
        _pass_on(stop, work)
        error = work.exception()
    if stop:
        raise Stopped(stop.signal_number, f"asked to stop; {processes} processes have ended")
    if isinstance(error, ChildFailedError):
        first, failure = error.get_first_failure()
        if failure.exitcode > 0:
            sys.exit(failure.exitcode)
        name = signal.Signals(-failure.exitcode).name
        raise TdbenchError(f"process {first} of {processes} was killed by {name}; the same command resumes")
    if error is not None:
        raise error


def _pass_on(stop: StopRequest, work: Future[Any]) -> None:
    """Wait for the processes, and pass a request to stop on to each of them once."""
    asked: set[int] = set()
    while not wait([work], timeout=0.1).done:
        for child in psutil.Process().children() if stop else ():
            if child.pid not in asked:
                asked.add(child.pid)
                with suppress(psutil.NoSuchProcess):
                    child.terminate()
