"""Which GPUs a process computes on.

Snakemake counts the GPUs that its jobs want and knows nothing of which; here a job takes the ones that are free. This
must not import torch: CUDA reads CUDA_VISIBLE_DEVICES once, at the first call, and libraries may make one when they
are imported.
"""

import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

from filelock import FileLock, Timeout

from tdbench.errors import TdbenchError
from tdbench.runtime.progress import say

ALLOWED, HELD, VISIBLE = "TDBENCH_GPUS", "TDBENCH_GPUS_HELD", "CUDA_VISIBLE_DEVICES"
_ID = re.compile(r"\d+|(GPU|MIG)-[\w./-]+")
_SAY_AFTER_S, _NVIDIA_SMI_S = 1.0, 30.0


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use: indices, or UUIDs as CUDA writes them.

    They are those that an outer tdbench process holds for this one, else those of ``TDBENCH_GPUS``, else those of
    ``CUDA_VISIBLE_DEVICES``, which a cluster sets, else all that ``nvidia-smi`` finds. An empty list of ids means none.

    Raises
    ------
    TdbenchError
        If ``TDBENCH_GPUS`` holds anything else.
    """
    for variable in (HELD, ALLOWED, VISIBLE):
        if variable in os.environ:
            ids = list(dict.fromkeys(part.strip() for part in os.environ[variable].split(",") if part.strip()))
            # As CUDA does: the first that is not an id, such as -1, ends the list.
            known = list(takewhile(_ID.fullmatch, ids))
            if variable == ALLOWED and known != ids:
                raise TdbenchError(
                    f"{ALLOWED}: {ids[len(known)]!r}: is not a GPU id; give indices or UUIDs, such as 0,1"
                )
            return known
    return _installed()


def _installed() -> list[str]:
    """Indices of this machine's GPUs; none where the driver's own tool is missing or fails."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.stdout.splitlines() if line.strip().isdigit()]


@contextmanager
def take_gpus(count: int) -> Iterator[list[str]]:
    """Hold ``count`` GPUs, waiting until so many are free; this process and its children see no others meanwhile.

    A GPU is held by a lock on a file, which the system gives up when the process ends, however it ends. The slots are
    those of one user on one machine: the users of a machine share it with ``TDBENCH_GPUS``. Whoever cannot have all
    takes none, so that nobody waits for the others' GPUs with some of its own; one that wants many may wait long while
    others take single ones.

    Parameters
    ----------
    count : int
        With 0 nothing is held, and no GPU is seen.

    Yields
    ------
    list of str
        Their ids. A process started by one that holds GPUs takes none of its own: it gets all of those. Where there
        are no GPUs the list is empty for any ``count``, and nothing changes.

    Raises
    ------
    TdbenchError
        If there are fewer, free or not.
    """
    ids = visible_gpus()
    if count > len(ids) > 0:
        raise TdbenchError(
            f"--processes {count}: each process needs a GPU, but only {len(ids)} are available ({', '.join(ids)})"
        )
    if HELD in os.environ or not (ids or ALLOWED in os.environ):
        yield ids
        return
    # Where all are held back there is nothing to wait for, but something to hide.
    taken, locks = _wait_for(ids, count if ids else 0)
    seen = {VISIBLE: ",".join(taken), HELD: ",".join(taken)}
    if VISIBLE not in os.environ:
        # The indices are nvidia-smi's, which counts by place; CUDA by itself counts by speed.
        seen["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    with locks, _environment(seen):
        yield taken


def _wait_for(ids: list[str], count: int) -> tuple[list[str], ExitStack]:
    # Apart from the global generator, and different in processes that start together.
    jitter, begun, silent = random.Random(), time.monotonic(), True
    folder = _lock_folder()
    while (found := _try(folder, ids, count)) is None:
        if silent and time.monotonic() - begun > _SAY_AFTER_S:
            say(f"waiting for {count} of {len(ids)} GPUs ({', '.join(ids)}) held by your other processes")
            silent = False
        time.sleep(jitter.uniform(0.05, 0.25))
    return found


def _try(folder: Path, ids: list[str], count: int) -> tuple[list[str], ExitStack] | None:
    """``count`` of the GPUs with what holds them, or None, holding nothing."""
    with ExitStack() as locks:
        taken: list[str] = []
        for gpu in ids:
            if len(taken) == count:
                break
            try:
                locks.enter_context(FileLock(folder / f"gpu-{gpu.replace('/', '_')}.lock").acquire(blocking=False))
            except Timeout:
                continue
            taken.append(gpu)
        return (taken, locks.pop_all()) if len(taken) == count else None


def _lock_folder() -> Path:
    """A folder of the user's own: nobody else can hold, or put something in the way of, its locks."""
    folder = Path(gettempdir()) / f"tdbench-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise TdbenchError(f"{folder}: belongs to another user; remove it, or set TMPDIR to another folder")
    if job := os.environ.get("SLURM_JOB_ID"):
        # A cluster's job has its GPUs to itself, and may call them 0, 1, ... as the next job on the machine does.
        folder = folder / f"slurm-{job}"
        folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
