"""Distances of images for consistency training: (N, C, H, W) twice -> (N,)."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tdbench.errors import TdbenchError
from tdbench.runtime import advice

Distance = Literal["l2", "l1", "pseudo-huber", "lpips"]


def l2(x: Tensor, y: Tensor) -> Tensor:
    """Mean of the squared differences."""
    return ((x - y) ** 2).flatten(1).mean(1)


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean of the absolute differences."""
    return (x - y).abs().flatten(1).mean(1)


def pseudo_huber(x: Tensor, y: Tensor) -> Tensor:
    """sqrt(||x - y||^2 + c^2) - c with c = 0.00054 sqrt(d), d the number of values (Song & Dhariwal 2024, eq. 8)."""
    d = x[0].numel()
    c = 0.00054 * math.sqrt(d)
    return (((x - y) ** 2).flatten(1).sum(1) + c**2).sqrt() - c


def lpips(x: Tensor, y: Tensor) -> Tensor:
    """Learned perceptual distance (Zhang et al. 2018, VGG), of images enlarged to 224x224 (Song et al. 2023).

    Raises
    ------
    TdbenchError
        If `use_lpips` was not given its network.
    """
    network = _on(x.device)
    sides = [interpolate(v.expand(-1, 3, -1, -1), size=224, mode="bilinear", antialias=True) for v in (x, y)]
    distance: Tensor = network(*sides)
    return distance.flatten()


_networks: dict[torch.device, nn.Module] = {}


def use_lpips(network: nn.Module) -> None:
    """Set the network of `lpips`, on the CPU: (N, 3, H, W) twice -> (N, 1, 1, 1)."""
    cpu = torch.device("cpu")
    if _networks.get(cpu) is not network:
        _networks.clear()
        _networks[cpu] = network


def _on(device: torch.device) -> nn.Module:
    """LPIPS's network on a device; each device has its copy."""
    if not _networks:
        raise TdbenchError(
            "distance lpips: its network is not loaded; call tdbench.training.lpips_network.load_lpips() first, which "
            f"takes the weights of VGG16 that `{advice.command('weights', 'lpips')}` fetches (553 MB), or fetches them"
        )
    if device not in _networks:
        _networks[device] = deepcopy(_networks[torch.device("cpu")]).to(device)
    return _networks[device]


GFLOPS: Mapping[Distance, float] = {"lpips": 92.08}
"""1e9 floating-point operations of the distance of two images and of its gradient by the first, where it has a network.

LPIPS: VGG16's convolutions at 224x224 take 30.69 forward, once for each image, and as many backward for the first.
"""

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": l2,
    "l1": l1,
    "pseudo-huber": pseudo_huber,
    "lpips": lpips,
}
