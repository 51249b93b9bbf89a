"""Measures the training throughput of this machine."""

import time
from collections.abc import Iterable
from dataclasses import replace

import torch

from tdbench.networks import NOMINAL, NetworkSettings, build_network, forward_flops
from tdbench.runtime.device import choose_device, describe_hardware
from tdbench.runtime.progress import say
from tdbench.workflow.budget import FORWARD_AND_BACKWARD, PUBLISHED, Throughput

SECONDS, QUICK_SECONDS = 3.0, 0.5
BATCH = {"cuda": 64, "cpu": 4}
QUICK_GFLOPS = 5.0
"""GFLOP of a forward pass per image; smaller networks are measured on a CPU within a second or two."""


def usual_throughput(networks: Iterable[str], threads: int) -> Throughput:
    """Return the throughput to plan with if the user gave none.

    It is measured if this machine has no GPU and the networks are small. Otherwise it is that of the paper's machine,
    because large networks are trained on a GPU, here or elsewhere.
    """
    kinds = list(dict.fromkeys(networks))
    quick = all(forward_flops(kind, NOMINAL[kind][0]) <= QUICK_GFLOPS * 1e9 for kind in kinds)
    if choose_device("auto", threads).type == "cuda":
        return PUBLISHED
    if quick:
        return measure_throughput(kinds, threads, QUICK_SECONDS)
    return replace(PUBLISHED, origin=f"{PUBLISHED.origin}; this machine has no GPU; --measure estimates hours on it")


def measure_throughput(networks: Iterable[str], threads: int, seconds: float = SECONDS) -> Throughput:
    """Measure forward and backward passes of each network on random images, for a few seconds each.

    Parameters
    ----------
    networks : iterable of str
        Names of networks, measured as in training: in float32, at their nominal resolution.
    threads : int
        CPU threads, if there is no GPU.
    seconds : float
        Duration of the measurement of each network.

    Raises
    ------
    TdbenchError
        If a network's library cannot be imported.
    """
    device = choose_device("auto", threads)
    rates = {}
    for name in dict.fromkeys(networks):
        rates[name] = _rate(name, device, seconds)
        say(f"{name}: {rates[name] / 1e12:.3g} TFLOP/s")
    hardware = describe_hardware(device).device
    tflops = {name: rate / 1e12 for name, rate in rates.items()}
    # Without a GPU, the machine counts as one device.
    hours = "GPU hours" if device.type == "cuda" else "hours of this machine"
    return Throughput(tflops, f"measured on this machine ({hardware})", hours)


def _rate(name: str, device: torch.device, seconds: float) -> float:
    """Return the FLOP/s of the forward and backward pass of a network."""
    resolution, channels = NOMINAL[name]
    network = build_network(NetworkSettings(kind=name), channels, resolution, 0, 0, 1000.0, seed=0).to(device)
    # A small network trains with a large batch; with four images the overhead of calls would dominate.
    size = BATCH["cuda" if forward_flops(name, resolution) <= QUICK_GFLOPS * 1e9 else device.type]
    images = torch.randn(size, channels, resolution, resolution, device=device)
    noise = torch.zeros(size, device=device)
    done, begun = 0, 0.0
    # The first passes select kernels and allocate memory.
    for warm in (False, False, True):
        begun, done = time.perf_counter(), 0
        while done == 0 or (warm and time.perf_counter() - begun < seconds):
            network(images, noise).square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            done += 1
    return done * size * FORWARD_AND_BACKWARD * forward_flops(name, resolution) / (time.perf_counter() - begun)
