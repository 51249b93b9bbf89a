"""What every network has in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Inputs:
    """What a network is fed with."""

    image_channels: int
    resolution: int
    """Height and width, pixels."""
    num_classes: int = 0
    """Length of the one-hot labels; 0 for an unconditional network."""
    augment_dim: int = 0
    """Length of the augmentation labels; 0 for none."""
    embedding_scale: float = 1.0
    """c_noise is multiplied by this before a time embedding that is made for steps 0..1000."""


class Architecture(Protocol):
    """A network that can be built by name."""

    @property
    def nominal(self) -> tuple[int, int]:
        """Resolution and image channels that it is meant for; others run too."""

    @property
    def parameters(self) -> Mapping[int, int]:
        """Resolution -> trainable parameters, without classes and augmentation; counted for some sizes."""

    @property
    def gflops(self) -> Mapping[int, float]:
        """Resolution -> 1e9 floating-point operations of the forward pass of one image (a multiply-add is two).

        Of the same sizes as `parameters`, among them the nominal one.
        """

    def levels(self, resolution: int) -> int:
        """Resolutions the network works at, each half of the one before."""

    def build(self, name: str, inputs: Inputs, dropout: float) -> nn.Module:
        """The network with initial weights from the global generator."""


def check_labels(inputs: Inputs, labels: Tensor | None, augment_labels: Tensor | None) -> None:
    """Refuse conditioning that does not fit the network: the caller's mistake, not the user's.

    Raises
    ------
    ValueError
        If classes are missing, or the network has no input for the augmentation labels.
    """
    if inputs.num_classes and labels is None:
        raise ValueError("a class-conditional network needs labels")
    if augment_labels is not None and not inputs.augment_dim:
        raise ValueError("a network built with augment_dim 0 takes no augmentation labels")
