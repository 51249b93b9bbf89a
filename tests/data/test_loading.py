import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches, to_uint8, to_unit_range

CPU = torch.device("cpu")


def test_uint8_survives_the_unit_range() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert (to_uint8(to_unit_range(levels)) == levels).all()


def test_every_epoch_shows_every_image_once_across_batches(images: ImageSet) -> None:
    batches = Batches(images, 64, 0, CPU)
    shown = torch.cat([batches.at(step).images for step in range(57)])  # two epochs of 1,797 are 56.2 batches
    for epoch in range(2):
        part = to_uint8(shown[epoch * 1797 : (epoch + 1) * 1797]).numpy()
        assert sorted(p.tobytes() for p in part) == sorted(p.tobytes() for p in images.images)


def test_order_depends_on_seed_and_step_alone(images: ImageSet) -> None:
    walked = Batches(images, 64, 3, CPU)
    for step in range(40):
        last = walked.at(step)
    fresh = Batches(images, 64, 3, CPU).at(39)
    torch.testing.assert_close(last.images, fresh.images, rtol=0, atol=0)
    torch.testing.assert_close(last.labels, fresh.labels, rtol=0, atol=0)
    assert not torch.equal(Batches(images, 64, 4, CPU).at(39).images, fresh.images)


def test_labels_go_with_their_images(images: ImageSet) -> None:
    batch = Batches(images, 200, 0, CPU).at(0)
    by_image = {image.tobytes(): label for image, label in zip(images.images, images.labels, strict=True)}
    expected = [by_image[image.tobytes()] for image in to_uint8(batch.images).numpy()]
    assert batch.labels is not None and np.array_equal(batch.labels.argmax(1), expected)


def test_a_batch_may_be_larger_than_the_data(images: ImageSet) -> None:
    small = ImageSet(images.images[:10], images.labels[:10], images.checksum, images.path)
    assert Batches(small, 25, 0, CPU).at(0).images.shape == (25, 1, 8, 8)


@pytest.mark.slow
def test_batches_let_go_of_their_thread_and_images(images: ImageSet) -> None:
    """Runs of a job follow each other in one process; the data of one must not wait for the collector of garbage."""

    def threads() -> int:
        return sum(thread.name.startswith("batches") for thread in threading.enumerate())

    gc.collect()
    before = threads()
    gc.disable()
    try:
        batches = Batches(images, 64, 0, CPU, resident=False)
        batches.at(0)
        assert threads() == before + 1
        known = weakref.ref(batches)
        batches.close()
        del batches
        assert known() is None and threads() == before
    finally:
        gc.enable()
