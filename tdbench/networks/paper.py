"""The networks of Karras et al. 2022 (EDM), from NVIDIA PhysicsNeMo: DDPM++, NCSN++ and ADM.

PhysicsNeMo is the optional extra ``paper-networks``; it is imported when such a network is built, and not before.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import torch
from torch import Tensor, nn

from tdbench.errors import TdbenchError
from tdbench.networks.base import Inputs, check_labels


@dataclass(frozen=True)
class PaperSpec:
    """An architecture of Karras et al. 2022, appendix F.

    Published are the sizes for images of 32x32 and 64x64; other resolutions take the nearer recipe.
    """

    architecture: str
    """Class of PhysicsNeMo."""
    arguments: Mapping[str, Any]
    multipliers: tuple[int, ...]
    """Channels of each level over the first width, for images up to 32x32."""
    large_multipliers: tuple[int, ...]
    """The same for larger ones."""
    nominal: tuple[int, int]
    parameters: Mapping[int, int]
    gflops: Mapping[int, float]

    def channel_mult(self, resolution: int) -> tuple[int, ...]:
        return self.multipliers if resolution <= 32 else self.large_multipliers

    def levels(self, resolution: int) -> int:
        return len(self.channel_mult(resolution))

    def build(self, name: str, inputs: Inputs, dropout: float) -> nn.Module:
        return PaperNetwork(name, self, inputs, dropout)


_SONG = {"model_channels": 128, "num_blocks": 4, "attn_resolutions": [16], "decoder_type": "standard"}
_DDPMPP = {
    "embedding_type": "positional",
    "channel_mult_noise": 1,
    "encoder_type": "standard",
    "resample_filter": [1, 1],
}
_NCSNPP = {
    "embedding_type": "fourier",
    "channel_mult_noise": 2,
    "encoder_type": "residual",
    "resample_filter": [1, 3, 3, 1],
}
_ADM = {"model_channels": 192, "num_blocks": 3, "attn_resolutions": [32, 16, 8]}

PAPER = {
    "ddpmpp": PaperSpec(
        "SongUNet",
        _SONG | _DDPMPP,
        (2, 2, 2),
        (1, 2, 2, 2),
        (32, 3),
        parameters={32: 55_732_739, 64: 61_804_419},
        gflops={32: 42.383, 64: 83.732},
    ),
    "ncsnpp": PaperSpec(
        "SongUNet",
        _SONG | _NCSNPP,
        (2, 2, 2),
        (1, 2, 2, 2),
        (32, 3),
        parameters={32: 56_395_523, 64: 62_758_787},
        gflops={32: 42.792, 64: 84.860},
    ),
    "adm": PaperSpec(
        "DhariwalUNet",
        _ADM,
        (1, 2, 3, 4),
        (1, 2, 3, 4),
        (64, 3),
        parameters={32: 279_624_195, 64: 295_131_267},
        gflops={32: 59.760, 64: 219.328},
    ),
}


class PaperNetwork(nn.Module):
    """A network of PhysicsNeMo that computes the same in training and in evaluation.

    c_noise is fed as it is, as in the published recipes: ``inputs.embedding_scale`` plays no part.

    Raises
    ------
    TdbenchError
        If PhysicsNeMo cannot be imported.
    """

    def __init__(self, name: str, spec: PaperSpec, inputs: Inputs, dropout: float = 0.0) -> None:
        library = _physicsnemo(name)
        super().__init__()
        self.inputs = inputs
        self.network = getattr(library, spec.architecture)(
            img_resolution=inputs.resolution,
            in_channels=inputs.image_channels,
            out_channels=inputs.image_channels,
            label_dim=inputs.num_classes,
            augment_dim=inputs.augment_dim,
            channel_mult=list(spec.channel_mult(inputs.resolution)),
            dropout=dropout,
            **spec.arguments,
        )
        # Without it every layer refuses to run under autocast. Outside autocast it only leaves out casts from
        # the weights' type to the images', which are the same here.
        self.network.amp_mode = True
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers but PhysicsNeMo's group normalization, which stays as in training.

        In evaluation that one divides by the unbiased variance (n - 1), in training by the biased one (n): the
        network that is sampled would not be the one that was trained.
        """
        super().train(mode)
        for module in self.modules():
            if type(module).__name__ == "GroupNorm":
                module.training = True
        return self

    def forward(
        self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        check_labels(self.inputs, labels, augment_labels)
        # No augmentation labels mean zeros: the library adds nothing then, and its linear layer has no bias.
        found: Tensor = self.network(x, c_noise, labels, augment_labels)
        return found


def _physicsnemo(name: str) -> ModuleType:
    """The module with the networks; ``name`` is who asks for it."""
    try:
        # Tensors that the library creates on import must not depend on the caller's default device.
        with warnings.catch_warnings(), _driver_warning_dropped(), torch.device("cpu"):
            warnings.simplefilter("ignore")
            import physicsnemo.models.diffusion_unets as library
    except (ImportError, OSError) as error:
        raise TdbenchError(
            f"network {name}: NVIDIA PhysicsNeMo cannot be imported ({error}); "
            'run `make install`, or `pip install "tdbench[paper-networks]"`'
        ) from error
    module: ModuleType = library
    return module


@contextmanager
def _driver_warning_dropped() -> Iterator[None]:
    """Drop what Warp, a part of PhysicsNeMo, says on machines without a GPU, and nothing else.

    Its C++ part writes to file descriptor 2, past Python's warnings and `sys.stderr`.
    """
    if sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not line.startswith(b"Warp CUDA warning: Could not find"):
                    os.write(2, line)
