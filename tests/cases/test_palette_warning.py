"""Reading images says nothing but what tdbench says; no warning of a library comes through."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cases.calls import copied, refused, tdbench

CALL = ("data", "folder", "--path", "d", "--resolution", 16, "-o", "o.zip")


def test_the_case(tmp_path: Path) -> None:
    called = tdbench(*CALL, cwd=copied("palette-warning", tmp_path))
    assert called.code == 0 and called.err == ""


@pytest.mark.parametrize("mode", ["PA", "L"])
def test_further_members(mode: str, tmp_path: Path) -> None:
    """An alpha channel beside a palette, and one transparent grey level that no pixel has."""
    (tmp_path / "d").mkdir()
    if mode == "PA":
        Image.new("P", (8, 8), 1).convert("PA").save(tmp_path / "d" / "a.tif")
    else:
        Image.new("L", (8, 8), 1).save(tmp_path / "d" / "a.png", transparency=7)
    called = tdbench(*CALL, cwd=tmp_path)
    assert called.code == 0 and called.err == "", called


def test_a_transparent_palette_is_refused_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).convert("P").save(tmp_path / "d" / "a.png", transparency=bytes(range(64)))
    assert "a.png (transparent; expected an opaque image)" in refused(*CALL, cwd=tmp_path)
