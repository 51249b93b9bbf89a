"""Which device computes, with how many threads, and how repeatable it is."""

import platform
from contextlib import AbstractContextManager
from typing import Any

import psutil
import torch

from tdbench.errors import TdbenchError
from tdbench.validation import Record


class Hardware(Record):
    """What a figure of time or memory depends on."""

    device: str
    """The GPU's name, or cpu."""
    threads: int
    processor: str | None = None
    logical_cpus: int | None = None
    memory_gb: float | None = None
    """Of the host, 1e9 bytes."""
    processes: int | None = None
    """That shared the work."""


def choose_device(wanted: str, threads: int) -> torch.device:
    """The device for ``wanted`` (auto, cpu or cuda).

    On the CPU everything gives the same bits every time; the number of threads orders floating-point sums, so it is
    fixed too. On CUDA the fastest kernels are taken, some of which add in no fixed order.
    """
    torch.set_num_threads(threads)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TdbenchError("training.device: 'cuda': this machine has no CUDA device; use auto or cpu")
    cuda = wanted != "cpu" and torch.cuda.is_available()
    torch.use_deterministic_algorithms(not cuda, warn_only=True)
    # Nothing here reads memory that was not written; filling it first costs a pass over every result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if cuda:
        # Shapes repeat from step to step.
        torch.backends.cudnn.benchmark = True
    return torch.device("cuda" if cuda else "cpu")


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def forget_peak_memory(device: torch.device) -> None:
    """Let `memory_mb` count from now on; several trainings may share a process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory_mb(device: torch.device) -> float:
    """Peak memory of the device's allocator on CUDA, else resident memory of this process now; 1e6 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return psutil.Process().memory_info().rss / 1e6


def describe_hardware(device: torch.device) -> Hardware:
    """This machine, as its device computes now."""
    return Hardware(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        processor=platform.processor() or platform.machine(),
        logical_cpus=psutil.cpu_count(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
    )


def without_gradient(device: torch.device) -> AbstractContextManager[Any]:
    """Evaluate networks on that device for their results alone.

    On the CPU with what autograd keeps of every operation left out as well, which a small network feels; its results
    are then tensors of inference mode. A GPU computes behind the CPU's back, so that nothing would be gained.
    """
    return torch.inference_mode() if device.type == "cpu" else torch.no_grad()
