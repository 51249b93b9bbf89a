"""Images of 16 bits a channel, which Pillow would cut to 8 without a word, in folders and archives alike."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdbench.data.archive import read_archive
from tests.cases.calls import copied, refused, tdbench

REASON = "16 bits; expected 8 bits a channel"
CHANNELS = {"grey": (0, 1), "colour": (2, 3), "grey and alpha": (4, 2), "colour and alpha": (6, 4)}


def png(bits: int, kind: str, side: int = 8) -> bytes:
    """A PNG of zeros, fully opaque where it has alpha, written by hand: Pillow writes no colour of 16 bits."""
    colour_type, channels = CHANNELS[kind]
    pixel = np.zeros(channels, dtype=">u2" if bits == 16 else "u1")
    if "alpha" in kind:
        pixel[-1] = 2**bits - 1
    rows = b"".join(b"\0" + pixel.tobytes() * side for _ in range(side))
    content = b"\x89PNG\r\n\x1a\n"
    head = struct.pack(">IIBBBBB", side, side, bits, colour_type, 0, 0, 0)
    for tag, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    return content


def tiff(bits: int, side: int = 8) -> bytes:
    """An uncompressed RGB TIFF."""
    pixels, depths = bytes(side * side * 3 * bits // 8), struct.pack("<3H", bits, bits, bits)
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 3, 8 + len(pixels)),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, side),
        (279, 4, 1, len(pixels)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels) + len(depths)) + pixels + depths + directory + bytes(4)


def packed(path: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("dataset.json", '{"labels": null}')
    return path


def test_the_cases(tmp_path: Path) -> None:
    case = copied("deep16", tmp_path)
    said = refused("data", "folder", "--path", "folder_png", "--resolution", 16, "-o", "o.zip", cwd=case)
    assert said.startswith("folder_png: cannot use 1 image: a.png (mode RGB, ") and REASON in said
    said = refused("data", "archive", "--path", "png16rgb.zip", "-o", "o.zip", cwd=case)
    assert said.startswith("png16rgb.zip: cannot use 1 image: a.png (mode RGB, ") and REASON in said
    assert not (case / "o.zip").exists()


@pytest.mark.parametrize("kind", CHANNELS)
def test_every_kind_of_png(kind: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "deep.zip", "a.png", png(16, kind))
    assert REASON in refused("data", "archive", "--path", archive, "-o", "o.zip", cwd=tmp_path)
    packed(archive, "a.png", png(8, kind))
    assert tdbench("data", "archive", "--path", archive, "-o", "o.zip", cwd=tmp_path).code == 0
    assert read_archive(tmp_path / "o.zip").channels == (1 if "grey" in kind else 3)


def test_tiff_whatever_source_reads_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for bits, reads in ((16, False), (8, True)):
        (tmp_path / "in" / "a.tif").write_bytes(tiff(bits))
        archive = packed(tmp_path / "a.zip", "a.tif", tiff(bits))
        folder = ("folder", "--path", "in", "--resolution", 8)
        for source in (folder, ("archive", "--path", archive)):
            called = tdbench("data", *source, "-o", "o.zip", cwd=tmp_path)
            assert (called.code == 0) is reads and (REASON in called.err) is not reads, called


def test_a_bmp_of_16_bits_a_pixel_loses_nothing(tmp_path: Path) -> None:
    """Five bits a channel: fewer than 8, not more."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (248, 0, 8)).save(data, "bmp")
    packed(tmp_path / "a.zip", "a.bmp", data.getvalue())
    assert tdbench("data", "archive", "--path", "a.zip", "-o", "o.zip", cwd=tmp_path).code == 0
