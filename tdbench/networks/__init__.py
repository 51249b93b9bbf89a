"""Network architectures by name, from libraries.

Every network is called as ``network(x, c_noise, labels, augment_labels)`` with x (N, C, H, W), c_noise (N,), one-hot
labels (N, num_classes) or None, and augmentation labels (N, augment_dim) or None, which means zeros; it returns
(N, C, H, W).
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from tdbench.errors import TdbenchError
from tdbench.networks.base import Architecture, Inputs
from tdbench.networks.paper import PAPER
from tdbench.networks.unet import UNETS
from tdbench.settings import Parameters, one_of

NETWORKS: dict[str, Architecture] = {**UNETS, **PAPER}

NOMINAL: dict[str, tuple[int, int]] = {name: network.nominal for name, network in NETWORKS.items()}
"""name -> resolution and image channels that the network is meant for, to plan with before any data is at hand."""


def _counted(name: str, resolution: int) -> int:
    """The counted size to estimate with: the nearest with as many levels."""
    network = NETWORKS[name]
    alike = [known for known in network.gflops if network.levels(known) == network.levels(resolution)]
    return min(alike or network.gflops, key=lambda known: abs(known - resolution))


def nominal_parameters(name: str, resolution: int) -> int:
    """Trainable parameters of an unconditional network, to plan with before its library is at hand.

    Counted for some sizes; between them it differs by a few per cent.
    """
    return NETWORKS[name].parameters[_counted(name, resolution)]


def forward_flops(name: str, resolution: int) -> float:
    """Floating-point operations of a network's forward pass of one image: counted for some sizes, else by area."""
    nearest = _counted(name, resolution)
    return NETWORKS[name].gflops[nearest] * 1e9 * (resolution / nearest) ** 2


class NetworkSettings(Parameters):
    """Which network is trained."""

    kind: Annotated[str, one_of(NETWORKS, "network")]
    dropout: Annotated[float, Field(ge=0, lt=1, description="probability, in the residual blocks")] = 0.0


def misfit(name: str, resolution: int) -> str | None:
    """Why a network cannot work on images of a size, and which sizes are near; None where it can."""

    def fits(size: int) -> bool:
        return size % (1 << NETWORKS[name].levels(size) - 1) == 0

    if fits(resolution):
        return None
    sizes = range(1, 2 * resolution + 64)
    below = max((size for size in sizes if size < resolution and fits(size)), default=None)
    near = [size for size in (below, next(size for size in sizes if size > resolution and fits(size))) if size]
    return (
        f"images of {resolution}x{resolution} do not fit its {NETWORKS[name].levels(resolution)} levels; "
        f"the nearest sizes that do are {' and '.join(map(str, near))}"
    )


def check_fit(names: Iterable[str], source: str, resolution: int) -> None:
    """Refuse images of a size that one of these networks cannot work on.

    Raises
    ------
    TdbenchError
    """
    for name in names:
        if name not in NETWORKS:
            raise TdbenchError(f"--network {name!r}: no such network; known: {', '.join(NETWORKS)}")
        if (wrong := misfit(name, resolution)) is not None:
            raise TdbenchError(f"data source {source}: network {name}: {wrong}")


def build_network(
    settings: NetworkSettings,
    image_channels: int,
    resolution: int,
    num_classes: int,
    augment_dim: int,
    embedding_scale: float,
    seed: int,
) -> nn.Module:
    """A network with its initial weights drawn from ``seed``; the global generator is left alone.

    Parameters
    ----------
    num_classes : int
        0 for an unconditional network.
    augment_dim : int
        Length of the augmentation labels; 0 for none.
    embedding_scale : float
        Factor to c_noise before diffusers' time embedding: 1000 for EDM's ln(sigma)/4, 1 for DDPM's steps 0..999.
        The networks of the papers ignore it.

    Raises
    ------
    TdbenchError
        If the network cannot work on images of that size, or its library cannot be imported.
    """
    name, inputs = settings.kind, Inputs(image_channels, resolution, num_classes, augment_dim, embedding_scale)
    if (wrong := misfit(name, resolution)) is not None:
        raise TdbenchError(f"network {name}: {wrong}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name].build(name, inputs, settings.dropout)


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
