"""Network architectures by name, from a library.

Every network is called as ``network(x, c_noise, labels)`` with x (N, C, H, W), c_noise (N,) and one-hot
labels (N, num_classes) or None, and returns (N, C, H, W).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tdbench.errors import TdbenchError


@dataclass(frozen=True)
class UNetSpec:
    """A size of diffusers' U-Net. Not the DDPM++ of the paper, whatever its size."""

    channels: tuple[int, ...]
    layers_per_block: int
    attention: tuple[bool, ...]
    nominal: tuple[int, int]
    """Resolution and image channels that the size is meant for; others run too."""


UNETS = {
    "unet-tiny": UNetSpec(channels=(16, 32), layers_per_block=1, attention=(False, False), nominal=(8, 1)),
}


class LabelledUNet(nn.Module):
    """diffusers' `UNet2DModel` with classes added to its time embedding by a linear layer."""

    # The library's time embedding is made for steps 0..1000; EDM's c_noise = ln(sigma)/4 spans about
    # -1.6..1.1. Scaled by 1000 it covers the range that the embedding resolves.
    TIME_SCALE = 1000.0

    def __init__(self, spec: UNetSpec, image_channels: int, resolution: int, num_classes: int) -> None:
        # diffusers imports slowly; only those who build a network wait for it.
        from diffusers.models.unets.unet_2d import UNet2DModel

        super().__init__()
        self.unet = UNet2DModel(
            sample_size=resolution,
            in_channels=image_channels,
            out_channels=image_channels,
            block_out_channels=spec.channels,
            layers_per_block=spec.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in spec.attention),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(spec.attention)),
            norm_num_groups=8,
            attention_head_dim=None,
            class_embed_type="identity" if num_classes else None,
        )
        width = 4 * spec.channels[0]
        self.label_embedding = nn.Linear(num_classes, width, bias=False) if num_classes else None

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        embedded = None
        if self.label_embedding is not None:
            if labels is None:
                raise ValueError("a class-conditional network needs labels")
            embedded = self.label_embedding(labels)
        return self.unet(x, self.TIME_SCALE * c_noise, class_labels=embedded, return_dict=False)[0]


def _unet(name: str) -> Callable[[int, int, int], nn.Module]:
    return lambda channels, resolution, classes: LabelledUNet(UNETS[name], channels, resolution, classes)


NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {name: _unet(name) for name in UNETS}
"""name -> builder(image channels, resolution, number of classes or 0)."""

NOMINAL: dict[str, tuple[int, int]] = {name: spec.nominal for name, spec in UNETS.items()}
"""name -> resolution and image channels that the network is meant for, to plan with before any data is at hand."""


def build_network(name: str, image_channels: int, resolution: int, num_classes: int, seed: int) -> nn.Module:
    """The network ``name`` with its initial weights drawn from ``seed``; the global generator is left alone.

    Parameters
    ----------
    num_classes : int
        0 for an unconditional network.

    Raises
    ------
    TdbenchError
        If the network cannot work on images of that size.
    """
    if name in UNETS and resolution % 2 ** (len(UNETS[name].channels) - 1):
        levels = len(UNETS[name].channels)
        raise TdbenchError(
            f"network {name}: images of {resolution}x{resolution} do not fit its {levels} levels; "
            f"the resolution must be a multiple of {2 ** (levels - 1)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](image_channels, resolution, num_classes)


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
