"""From an archive to batches on a device."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tdbench.data.archive import ImageSet
from tdbench.seeds import generator

RESIDENT_SHARE = 0.25
"""A data set is kept on the GPU if it takes no more than this share of the memory that is free there."""


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


def fits_device(size: int, device: torch.device) -> bool:
    """Whether data of so many bytes are best kept on the device."""
    return device.type != "cuda" or size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


class Batches:
    """An endless stream of batches in an order that depends on seed and position alone.

    Every epoch is a fresh permutation; a batch may span two epochs, so that none is ever short.

    Parameters
    ----------
    data : ImageSet
    batch_size : int
        Images of a batch, over all processes.
    seed : int
    device : torch.device
        Where batches are needed.
    share : slice or None
        The part of every batch that `at` gives; None for the whole.
    resident : bool or None
        Keep all images on the device. Otherwise they stay in the host's memory, and a thread copies the next batch
        while this one is used. None: as `fits_device` says.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        seed: int,
        device: torch.device,
        share: slice | None = None,
        resident: bool | None = None,
    ) -> None:
        self.images = torch.from_numpy(data.images)
        self.labels = None if data.labels is None else torch.from_numpy(data.labels)
        self.num_classes = data.num_classes
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.share = slice(0, batch_size) if share is None else share
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)
        resident = fits_device(data.images.nbytes, device) if resident is None else resident
        if resident:
            self.images = self.images.to(device)
            self.labels = None if self.labels is None else self.labels.to(device)
        self._ahead = None if resident else _Ahead(self)

    def at(self, step: int) -> Batch:
        """The batch of training step ``step`` (from 0), or this process's share of it."""
        images, labels = self.pick(self.indices(step)) if self._ahead is None else self._ahead.at(step)
        images = images.to(self.device, non_blocking=True)
        if labels is not None:
            labels = one_hot(labels.to(self.device, non_blocking=True), self.num_classes).float()
        return Batch(to_unit_range(images), labels)

    def close(self) -> None:
        """Let go of the thread, and of the images that it would keep from being forgotten."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def pick(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images and classes by index, where the data are."""
        chosen = chosen.to(self.images.device, non_blocking=True)
        return self.images[chosen], None if self.labels is None else self.labels[chosen]

    def indices(self, step: int) -> Tensor:
        """Which images are in the share of that step's batch."""
        start, wanted = step * self.batch_size + self.share.start, self.share.stop - self.share.start
        parts = []
        while wanted:
            epoch, offset = divmod(start, len(self.images))
            part = self._permutation(epoch)[offset : offset + wanted]
            parts.append(part)
            start, wanted = start + len(part), wanted - len(part)
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = torch.randperm(len(self.images), generator=generator(self.seed, "data-order", epoch))
            self._epoch, self._order = epoch, order
        return self._order


class _Ahead:
    """Gathers the next step's batch in a thread, in page-locked memory where it has to go to a GPU."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._next: tuple[int, Future[tuple[Tensor, Tensor | None]]] | None = None

    def at(self, step: int) -> tuple[Tensor, Tensor | None]:
        known = self._next is not None and self._next[0] == step
        found = self._next[1] if known and self._next else self._pool.submit(self._gather, step)
        self._next = (step + 1, self._pool.submit(self._gather, step + 1))
        return found.result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _gather(self, step: int) -> tuple[Tensor, Tensor | None]:
        images, labels = self._batches.pick(self._batches.indices(step))
        if self._batches.device.type == "cuda":
            # PyTorch hands page-locked memory out again only once the copies from it are done.
            images, labels = images.pin_memory(), None if labels is None else labels.pin_memory()
        return images, labels
