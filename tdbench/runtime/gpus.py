"""Assigns GPUs to processes.

Snakemake counts the GPUs of its jobs but does not choose them; here a job takes GPUs that are free. This module must
not import torch: CUDA reads CUDA_VISIBLE_DEVICES once, at its first call, and a library may make that call when it is
imported.
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

ALLOWED, HELD_VARIABLE, VISIBLE = "TDBENCH_GPUS", "TDBENCH_GPUS_HELD", "CUDA_VISIBLE_DEVICES"
_ID = re.compile(r"\d+|(GPU|MIG)-[\w./-]+")
_SAY_AFTER_S, _NVIDIA_SMI_S = 1.0, 30.0


def visible_gpus() -> list[str]:
    """Return the ids of the GPUs that this process may use: indices, or UUIDs as CUDA writes them.

    The first of these that is set counts: the GPUs that an outer tdbench process holds, ``TDBENCH_GPUS``,
    ``CUDA_VISIBLE_DEVICES`` (which a cluster sets), and all that ``nvidia-smi`` finds. An empty value means no GPU.

    Raises
    ------
    TdbenchError
        If ``TDBENCH_GPUS`` holds anything but ids.
    """
    for variable in (HELD_VARIABLE, ALLOWED, VISIBLE):
        if variable in os.environ:
            ids = list(dict.fromkeys(part.strip() for part in os.environ[variable].split(",") if part.strip()))
            # Like CUDA: the first entry that is not an id, such as -1, ends the list.
            known = list(takewhile(_ID.fullmatch, ids))
            if variable == ALLOWED and known != ids:
                raise TdbenchError(
                    f"{ALLOWED}: {ids[len(known)]!r}: is not a GPU id; give indices or UUIDs, such as 0,1"
                )
            return known
    return _installed()


def _installed() -> list[str]:
    """Return the indices of this machine's GPUs; empty if nvidia-smi is missing or fails."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=_NVIDIA_SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in found.stdout.splitlines() if line.strip().isdigit()]


@contextmanager
def take_gpus(count: int) -> Iterator[list[str]]:
    """Hold ``count`` GPUs, waiting until they are free. This process and its children see only these.

    A lock on a file holds a GPU; the system releases it when the process ends, even if it is killed. The locks are per
    user and machine: several users divide a machine with ``TDBENCH_GPUS``. A process takes all its GPUs or none, which
    prevents deadlocks; one that needs many may wait long while others take single ones.

    Parameters
    ----------
    count : int
        With 0 the process holds and sees no GPU.

    Yields
    ------
    list of str
        Their ids. A child of a process that holds GPUs gets all of those and takes no others. On a machine without
        GPUs the list is empty for any ``count``, and nothing changes.

    Raises
    ------
    TdbenchError
        If the machine has fewer GPUs, free or not.
    """
    ids = visible_gpus()
    if count > len(ids) > 0:
        raise TdbenchError(
            f"--processes {count}: each process needs a GPU, and there are {len(ids)} here ({', '.join(ids)})"
        )
    if HELD_VARIABLE in os.environ or not (ids or ALLOWED in os.environ):
        yield ids
        return
    # If TDBENCH_GPUS is empty, wait for nothing but hide all GPUs.
    taken, locks = _wait_for(ids, count if ids else 0)
    seen = {VISIBLE: ",".join(taken), HELD_VARIABLE: ",".join(taken)}
    if VISIBLE not in os.environ:
        # The indices are those of nvidia-smi, in PCI order; CUDA's default order is by speed.
        seen["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    with locks, _environment(seen):
        yield taken


def _wait_for(ids: list[str], count: int) -> tuple[list[str], ExitStack]:
    # Not the global generator, whose seed may be equal in processes that start together.
    jitter, begun, silent = random.Random(), time.monotonic(), True
    folder = _lock_folder()
    while (found := _try(folder, ids, count)) is None:
        if silent and time.monotonic() - begun > _SAY_AFTER_S:
            say(f"waiting for {count} of {len(ids)} GPUs ({', '.join(ids)}) held by your other processes")
            silent = False
        time.sleep(jitter.uniform(0.05, 0.25))
    return found


def _try(folder: Path, ids: list[str], count: int) -> tuple[list[str], ExitStack] | None:
    """Return ``count`` of the GPUs with their locks, or None without holding any."""
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
    """Return the lock folder. It belongs to the user, so nobody else can take or block its locks."""
    folder = Path(gettempdir()) / f"tdbench-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise TdbenchError(f"{folder}: belongs to another user; remove it, or set TMPDIR to another folder")
    if job := os.environ.get("SLURM_JOB_ID"):
        # A cluster job owns its GPUs, and two jobs on one machine may both number theirs 0, 1, ...
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
