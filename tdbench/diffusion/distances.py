"""Distances of images for consistency training: (N, C, H, W) twice -> (N,)."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from tdbench.errors import TdbenchError

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
        If the package or the weights of its VGG cannot be had.
    """
    network = _lpips_network(str(x.device))
    sides = [interpolate(v.expand(-1, 3, -1, -1), size=224, mode="bilinear", antialias=True) for v in (x, y)]
    distance: Tensor = network(*sides)
    return distance.flatten()


@cache
def _lpips_network(device: str) -> Any:
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise TdbenchError('distance lpips: needs the package lpips; pip install "tdbench[lpips]"') from error
    try:
        network = LPIPS(net="vgg", verbose=False)
    except OSError as error:
        raise TdbenchError(
            f"distance lpips: the VGG weights cannot be fetched ({error}); put vgg16-397923af.pth into "
            f"{torch.hub.get_dir()}/checkpoints, or choose l2, l1 or pseudo-huber"
        ) from error
    return network.to(device).eval().requires_grad_(False)


GFLOPS: Mapping[Distance, float] = {"lpips": 92.08}
"""1e9 floating-point operations of the distance of two images and of its gradient by the first, where it has a network.

LPIPS: VGG16's convolutions at 224x224 take 30.69 forward, once for each image, and as many backward for the first.
"""

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": l2, "l1": l1, "pseudo-huber": pseudo_huber, "lpips": lpips
}  # fmt: skip
