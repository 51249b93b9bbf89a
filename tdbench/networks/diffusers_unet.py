"""diffusers' U-Net, without a search in every pass. A module of its own, since diffusers imports slowly."""

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import nn


class KnownDtypeUNet(UNet2DModel):
    """The library's model, which knows its number format.

    The library asks every module for it twice a pass, one twentieth of what `unet-tiny` takes on a CPU.
    """

    @property
    def dtype(self) -> torch.dtype:
        known: torch.dtype = self.conv_in.weight.dtype
        return known


def set_heads(network: nn.Module, heads: int) -> None:
    """Divide every self-attention into so many heads; the library takes their width instead, one for all levels."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.heads, module.scale = heads, (module.inner_dim // heads) ** -0.5


def zero_outputs(network: nn.Module) -> None:
    """Let every residual branch, and the network itself, begin as zero, which the library does not."""
    for name, module in network.named_modules():
        if name.endswith((".conv2", ".to_out.0")) or name == "conv_out":
            for weights in module.parameters():
                nn.init.zeros_(weights)
