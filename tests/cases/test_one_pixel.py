"""Images of one pixel end in a line at the first command that reads them, before any network sees them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tdbench.data.archive import write_archive
from tests.cases.calls import INPUTS, refused, tdbench

REASON = "r/datasets/r1/archive.zip: images of 1x1 pixels; expected at least 2 and at most 9,459 a side"


def results(folder: Path, archive: Path) -> Path:
    place = folder / "r" / "datasets" / "r1" / "archive.zip"
    place.parent.mkdir(parents=True)
    shutil.copy(archive, place)
    return folder


def test_the_case(tmp_path: Path) -> None:
    cwd = results(tmp_path, INPUTS / "one-pixel" / "r1.zip")
    assert refused("classifier", "r1", "--results", "r", cwd=cwd) == REASON


@pytest.mark.parametrize("channels", [1, 3])
def test_further_members(channels: int, tmp_path: Path) -> None:
    """The features of either library, of grey and of colour."""
    write_archive(tmp_path / "made.zip", np.zeros((4, channels, 1, 1), np.uint8), np.array([0, 0, 1, 1]))
    cwd = results(tmp_path, tmp_path / "made.zip")
    assert refused("reference", "r1", "--features", "efficientnet-lite0", "--results", "r", cwd=cwd) == REASON


def test_images_of_two_pixels_a_side_train_a_classifier(tmp_path: Path) -> None:
    pixels, labels = np.zeros((64, 1, 2, 2), np.uint8), np.arange(64) % 2
    pixels[labels == 1] = 255
    write_archive(tmp_path / "made.zip", pixels, labels)
    called = tdbench("classifier", "r1", "--results", "r", cwd=results(tmp_path, tmp_path / "made.zip"))
    assert called.code == 0 and "100.00%" in called.out, called
