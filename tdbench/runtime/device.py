"""Selects the device, its threads and its determinism."""

import platform
from contextlib import AbstractContextManager
from typing import Any

import psutil
import torch

from tdbench.errors import TdbenchError
from tdbench.validation import Record


class Hardware(Record):
    """The hardware that a measured time or memory depends on."""

    device: str
    """The GPU's name, or cpu."""
    threads: int
    processor: str | None = None
    logical_cpus: int | None = None
    memory_gb: float | None = None
    """Memory of the host, in 1e9 bytes."""
    processes: int | None = None
    """Number of processes that shared the work."""


def choose_device(wanted: str, threads: int) -> torch.device:
    """Return the device for ``wanted`` (auto, cpu or cuda).

    On the CPU every result is bit-for-bit repeatable. The number of threads is fixed too, because it changes the order
    of floating-point sums. On CUDA the fastest kernels are used; some of them add in no fixed order.
    """
    torch.set_num_threads(threads)
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TdbenchError("training.device: 'cuda': this machine has no CUDA device; use auto or cpu")
    cuda = wanted != "cpu" and torch.cuda.is_available()
    torch.use_deterministic_algorithms(not cuda, warn_only=True)
    # No code here reads uninitialised memory, and filling it costs a pass over every result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if cuda:
        # Shapes repeat from step to step, so the search for the fastest kernel pays off.
        torch.backends.cudnn.benchmark = True
    return torch.device("cuda" if cuda else "cpu")


def native_bf16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 in hardware; otherwise it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def reset_peak_memory(device: torch.device) -> None:
    """Reset the peak that `memory_mb` returns, because several trainings may share a process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def memory_mb(device: torch.device) -> float:
    """Return peak allocated memory on CUDA, or current resident memory on the CPU, in 1e6 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return psutil.Process().memory_info().rss / 1e6


def describe_hardware(device: torch.device) -> Hardware:
    """Describe this machine and its current device."""
    return Hardware(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        processor=platform.processor() or platform.machine(),
        logical_cpus=psutil.cpu_count(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
    )


def without_gradient(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that evaluates networks without gradients.

    On the CPU it is inference mode, which also skips autograd's bookkeeping per operation. That matters for small
    networks. The results are then inference tensors. A GPU runs asynchronously, so inference mode would gain nothing.
    """
    return torch.inference_mode() if device.type == "cpu" else torch.no_grad()
