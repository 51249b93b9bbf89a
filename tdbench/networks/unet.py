"""diffusers' U-Net in several sizes."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from tdbench.networks.base import Inputs, check_labels


@dataclass(frozen=True)
class UNetSpec:
    """A size of diffusers' U-Net. It is not the paper's DDPM++, even at the same size."""

    channels: tuple[int, ...]
    layers_per_block: int
    attention: tuple[int, ...]
    """Resolutions with self-attention, pixels; the middle block has it always."""
    norm_groups: int
    nominal: tuple[int, int]
    parameters: Mapping[int, int]
    gflops: Mapping[int, float]
    heads: int = 1
    """Of every self-attention."""
    scale_shift: bool = False
    """Whether the time embedding scales and shifts the normalized features, or is added before."""
    zero_outputs: bool = False
    """Whether every residual branch, and the network's output, is zero at the start."""

    def levels(self, resolution: int) -> int:
        return len(self.channels)

    def build(self, name: str, inputs: Inputs, dropout: float) -> nn.Module:
        return LabelledUNet(self, inputs, dropout)


UNETS = {
    "unet-tiny": UNetSpec(
        channels=(16, 32),
        layers_per_block=1,
        attention=(),
        norm_groups=8,
        nominal=(8, 1),
        parameters={8: 163_985},
        gflops={8: 0.007684},
    ),
    # For trials of a smaller network.
    "unet-micro": UNetSpec(
        channels=(8, 16),
        layers_per_block=1,
        attention=(),
        norm_groups=8,
        nominal=(8, 1),
        parameters={8: 41_609},
        gflops={8: 0.001938},
    ),
    # For ablations on CIFAR-10.
    "unet-small": UNetSpec(
        channels=(64, 128, 128),
        layers_per_block=1,
        attention=(16,),
        norm_groups=8,
        nominal=(32, 3),
        parameters={32: 4_437_699, 64: 4_437_699},
        gflops={32: 2.153, 64: 8.032},
    ),
    # The width, depth and attention of Ho et al. 2020 (DDPM, appendix B) on CIFAR-10.
    "unet-base": UNetSpec(
        channels=(128, 256, 256, 256),
        layers_per_block=2,
        attention=(16,),
        norm_groups=32,
        nominal=(32, 3),
        parameters={32: 35_746_307, 64: 35_746_307},
        gflops={32: 12.444, 64: 46.741},
    ),
    # The U-Net of openai/consistency_models with its default settings for 64x64 (Dhariwal & Nichol 2021, appendix B).
    "cm-unet": UNetSpec(
        channels=(128, 256, 384, 512),
        layers_per_block=2,
        attention=(32, 16, 8),
        norm_groups=32,
        nominal=(64, 3),
        parameters={32: 88_417_411, 64: 93_344_131},
        gflops={32: 19.251, 64: 68.660},
        heads=4,
        scale_shift=True,
        zero_outputs=True,
    ),
}


class LabelledUNet(nn.Module):
    """diffusers' `UNet2DModel` with classes and augmentation labels added to its time embedding by linear layers.

    Parameters
    ----------
    inputs : Inputs
        ``embedding_scale``: the library's time embedding is made for steps 0..1000. EDM's
        c_noise = ln(sigma)/4 spans about -1.6..1.1; scaled by 1000 it covers the range that the embedding
        resolves. DDPM's c_noise is the step itself: scale 1.
    dropout : float
        Probability, in every residual block.
    """

    def __init__(self, spec: UNetSpec, inputs: Inputs, dropout: float = 0.0) -> None:
        # diffusers imports slowly; only those who build a network wait for it.
        from tdbench.networks.diffusers_unet import KnownDtypeUNet, set_heads, zero_outputs

        super().__init__()
        self.inputs = inputs
        attention = [inputs.resolution >> level in spec.attention for level in range(len(spec.channels))]
        self.unet = KnownDtypeUNet(
            sample_size=inputs.resolution,
            in_channels=inputs.image_channels,
            out_channels=inputs.image_channels,
            block_out_channels=spec.channels,
            layers_per_block=spec.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
            norm_num_groups=spec.norm_groups,
            # Otherwise the middle block's attention has no norm where the embedding scales and shifts.
            attn_norm_num_groups=spec.norm_groups,
            attention_head_dim=None,
            resnet_time_scale_shift="scale_shift" if spec.scale_shift else "default",
            dropout=dropout,
            class_embed_type="identity" if inputs.num_classes or inputs.augment_dim else None,
        )
        set_heads(self.unet, spec.heads)
        if spec.zero_outputs:
            zero_outputs(self.unet)
        self.width = 4 * spec.channels[0]
        self.label_embedding = _linear(inputs.num_classes, self.width)
        self.augment_embedding = _linear(inputs.augment_dim, self.width)

    def forward(
        self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        check_labels(self.inputs, labels, augment_labels)
        embedded = None
        if self.label_embedding is not None or self.augment_embedding is not None:
            embedded = x.new_zeros(x.shape[0], self.width)
        if self.label_embedding is not None:
            embedded = self.label_embedding(labels)
        if self.augment_embedding is not None and augment_labels is not None:
            embedded = embedded + self.augment_embedding(augment_labels)
        scaled = self.inputs.embedding_scale * c_noise
        found: Tensor = self.unet(x, scaled, class_labels=embedded, return_dict=False)[0]
        return found


def _linear(length: int, width: int) -> nn.Linear | None:
    """Without a bias, so that labels of zero add nothing."""
    return nn.Linear(length, width, bias=False) if length else None
