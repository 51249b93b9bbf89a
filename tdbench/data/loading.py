"""From an archive to batches on a device."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tdbench.data.archive import ImageSet
from tdbench.seeds import generator


class Batch(NamedTuple):
    """(N, C, H, W) images in [-1, 1] and (N, num_classes) one-hot labels, or None."""

    images: Tensor
    labels: Tensor | None


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] -> uint8, rounded to the nearest level and clipped."""
    return (images * 127.5 + 128).clip(0, 255).to(torch.uint8)


class Batches:
    """An endless stream of batches in an order that depends on seed and position alone.

    Every epoch is a fresh permutation; a batch may span two epochs, so that none is ever short.
    """

    def __init__(self, data: ImageSet, batch_size: int, seed: int, device: torch.device) -> None:
        self.images = torch.from_numpy(data.images).to(device)
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(device)
        self.num_classes = data.num_classes
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = torch.randperm(len(self.images), generator=generator(self.seed, "data-order", epoch))
            self._epoch, self._order = epoch, order.to(self.device)
        return self._order

    def at(self, step: int) -> Batch:
        """The batch of training step ``step`` (from 0)."""
        start, total = step * self.batch_size, len(self.images)
        parts, wanted = [], self.batch_size
        while wanted:
            epoch, offset = divmod(start, total)
            part = self._permutation(epoch)[offset : offset + wanted]
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        chosen = torch.cat(parts)
        labels = None if self.labels is None else one_hot(self.labels[chosen], self.num_classes).float()
        return Batch(to_unit_range(self.images[chosen]), labels)
