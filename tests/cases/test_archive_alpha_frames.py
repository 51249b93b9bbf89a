"""Transparency and further frames are refused by every source, not dropped without a word."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdbench.data.archive import read_archive
from tests.cases.calls import copied, refused, tdbench


def packed(path: Path, **images: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in images.items():
            archive.writestr(name.replace("_", "."), content)
        archive.writestr("dataset.json", '{"labels": null}')
    return path


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


RED, BLUE = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
CLEAR = Image.new("RGBA", (8, 8), (1, 2, 3, 90))
MEMBERS = {
    "b_webp": (encoded(RED, "webp", save_all=True, append_images=[BLUE]), "2 frames; expected one"),
    "b_tif": (encoded(RED, "tiff", save_all=True, append_images=[BLUE]), "2 frames; expected one"),
    "b_png": (encoded(CLEAR, "png"), "transparent; expected an opaque image"),
    "c_webp": (encoded(CLEAR, "webp", lossless=True), "transparent; expected an opaque image"),
    "c_png": (encoded(Image.new("L", (8, 8), 5), "png", transparency=5), "transparent; expected an opaque image"),
}


def test_the_cases(tmp_path: Path) -> None:
    case = copied("archive-alpha-frames", tmp_path)
    for name, reason in {"anim_png": "a.png (3 frames; expected one)", "pal_trans": "a.png (transparent; "}.items():
        said = refused("data", "archive", "--path", f"{name}.zip", "-o", "o.zip", cwd=case)
        assert said.startswith(f"{name}.zip: cannot use ") and reason in said
        # A folder refuses the very same files for the same reason.
        (case / name).mkdir()
        zipfile.ZipFile(case / f"{name}.zip").extract("a.png", case / name)
        assert reason in refused("data", "folder", "--path", name, "--resolution", 8, "-o", "o.zip", cwd=case)


@pytest.mark.parametrize("name", MEMBERS)
def test_further_members(name: str, tmp_path: Path) -> None:
    content, reason = MEMBERS[name]
    packed(tmp_path / "a.zip", a_png=encoded(RED, "png"), **{name: content})
    said = refused("data", "archive", "--path", "a.zip", "-o", "o.zip", cwd=tmp_path)
    assert said.startswith(f"a.zip: cannot use 1 image: {name.replace('_', '.')} ({reason}")


def test_an_opaque_alpha_channel_and_an_opaque_palette_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    opaque = Image.fromarray(pixels).convert("RGBA")
    palette = Image.fromarray(pixels).quantize(16)
    packed(
        tmp_path / "a.zip", a_png=encoded(opaque, "png"), b_png=encoded(palette, "png", transparency=bytes([255] * 16))
    )
    called = tdbench("data", "archive", "--path", "a.zip", "-o", "o.zip", cwd=tmp_path)
    assert called.code == 0 and called.err == ""
    images = read_archive(tmp_path / "o.zip").images
    np.testing.assert_array_equal(images[0], pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(images[1], np.asarray(palette.convert("RGB")).transpose(2, 0, 1))
