"""Exponential moving averages of weights."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from tdbench.experiment.training import Training

Network = TypeVar("Network", bound=nn.Module)


def half_life_decay(batch_size: int, half_life_images: float, images_shown: int, rampup_ratio: float | None) -> float:
    """Share of the old average that one step keeps (Karras et al. 2022, appendix F.1).

    Parameters
    ----------
    half_life_images : float
        Images after which an old weight counts half.
    images_shown : int
        Images shown so far, this step's included.
    rampup_ratio : float or None
        The half-life is at most this share of ``images_shown``, so that the first weights fade soon.
    """
    if rampup_ratio is not None:
        half_life_images = min(half_life_images, images_shown * rampup_ratio)
    return math.pow(0.5, batch_size / max(half_life_images, 1e-8))


def average_decay(training: Training, images_shown: int) -> float:
    """Share of the old average that a step keeps: ``ema_decay``, or computed from the half-life.

    Parameters
    ----------
    images_shown : int
        Images shown so far, this step's included.
    """
    if training.ema_half_life_kimg is None:
        return float(training.ema_decay or 0)
    half_life = training.ema_half_life_kimg * 1000
    return half_life_decay(training.batch_size, half_life, images_shown, training.ema_rampup_ratio)


class AveragedNetwork(Generic[Network]):
    """A copy of a network that follows it by ``average <- decay average + (1 - decay) weights``.

    Buffers are copied.
    """

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        # Looking for a network's tensors takes longer than averaging those of a small one.
        self._averages: list[Tensor] = list(self.network.parameters())
        self._weights: list[Tensor] = list(network.parameters())
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Follow the network by a step."""
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for mine, theirs in self._buffers:
            mine.copy_(theirs)
