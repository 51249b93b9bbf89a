"""Sizes of images that cannot be read again, or are too small for any use, are refused before the work."""

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdbench.data.archive import write_archive
from tdbench.data.images import LARGEST_SIDE, SMALLEST_SIDE
from tests.cases.calls import copied, refused, tdbench


def call(size: int) -> tuple[object, ...]:
    return ("data", "folder", "--path", "d", "--resolution", size, "-o", "x.zip")


def test_the_case(tmp_path: Path) -> None:
    case = copied("resolution-16384", tmp_path)
    said = refused(*call(16_384), cwd=case)
    assert said == "data source folder: resolution 16384: must be at least 2 and at most 9,459"
    assert not (case / "x.zip").exists()


@pytest.mark.parametrize("size", [9_460, 1, 0, -5])
def test_further_members(size: int, tmp_path: Path) -> None:
    case = copied("resolution-16384", tmp_path)
    assert f"resolution {size}: must be at least 2 and at most 9,459" in refused(*call(size), cwd=case)


def test_the_largest_is_the_largest_that_is_read() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None and math.isqrt(Image.MAX_IMAGE_PIXELS) == LARGEST_SIDE


def test_the_smallest_is_made_and_read(tmp_path: Path) -> None:
    called = tdbench(*call(SMALLEST_SIDE), cwd=copied("resolution-16384", tmp_path))
    assert called.code == 0 and "resolution 2" in called.out


@pytest.mark.slow
def test_noise_that_does_not_compress_is_read_again_beyond_64_mib(tmp_path: Path) -> None:
    """As large as what is unpacked at most was before: a square of this size is within the allowed sizes."""
    side = 4_800
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        head = b"BM" + (54 + side * side * 3).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
        info = [(40, 4), (side, 4), (side, 4), (1, 2), (24, 2), (0, 4), (0, 4), (0, 4), (0, 4), (0, 4), (0, 4)]
        content = head + b"".join(value.to_bytes(size, "little") for value, size in info)
        archive.writestr("a.bmp", content + bytes(side * side * 3))
        archive.writestr("dataset.json", '{"labels": null}')
    assert (tmp_path / "a.zip").stat().st_size > 2**26
    called = tdbench("data", "archive", "--path", "a.zip", "-o", "o.zip", cwd=tmp_path)
    assert called.code == 0 and "resolution 4800" in called.out, called


def test_archives_of_single_pixels_are_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "one.zip", np.zeros((3, 1, 1, 1), np.uint8), None)
    said = refused("data", "archive", "--path", "one.zip", "-o", "o.zip", cwd=tmp_path)
    assert said == "one.zip: images of 1x1 pixels; expected at least 2 and at most 9,459 a side"
