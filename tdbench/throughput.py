"""How much of an experiment's work this machine does in a second, measured."""

import time
from collections.abc import Iterable

import torch

from tdbench.budget import FORWARD_AND_BACKWARD, Throughput
from tdbench.device import choose_device, describe_hardware
from tdbench.networks import NOMINAL, NetworkSettings, build_network, forward_flops
from tdbench.progress import say

SECONDS = 3.0
BATCH = {"cuda": 64, "cpu": 4}


def measure_throughput(networks: Iterable[str], threads: int) -> Throughput:
    """Forward and backward passes of each network on random images, for a few seconds each.

    Parameters
    ----------
    networks : iterable of str
        Names of networks, measured at their nominal resolution in float32, as they are trained.
    threads : int
        CPU threads, where there is no GPU.

    Raises
    ------
    TdbenchError
        If a network's library cannot be imported.
    """
    device = choose_device("auto", threads)
    rates = {}
    for name in dict.fromkeys(networks):
        rates[name] = _rate(name, device)
        say(f"{name}: {rates[name] / 1e12:.3g} TFLOP/s")
    hardware = describe_hardware(device)["device"]
    tflops = {name: rate / 1e12 for name, rate in rates.items()}
    # Without a GPU the machine's one device is counted as one.
    return Throughput(
        tflops, f"as measured on this machine ({hardware})", "GPU hours" if device.type == "cuda" else "hours"
    )


def _rate(name: str, device: torch.device) -> float:
    """FLOP/s of a network's forward and backward pass."""
    resolution, channels = NOMINAL[name]
    network = build_network(NetworkSettings(kind=name), channels, resolution, 0, 0, 1000.0, seed=0).to(device)
    size = BATCH[device.type]
    images = torch.randn(size, channels, resolution, resolution, device=device)
    noise = torch.zeros(size, device=device)
    done, begun = 0, 0.0
    # The first passes choose kernels and allocate.
    for warm in (False, False, True):
        begun, done = time.perf_counter(), 0
        while done == 0 or (warm and time.perf_counter() - begun < SECONDS):
            network(images, noise).square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            done += 1
    return done * size * FORWARD_AND_BACKWARD * forward_flops(name, resolution) / (time.perf_counter() - begun)
