"""Attacks by name: bombs, links, pipes, other formats under a harmless name, addresses that others can read along."""

import hashlib
import io
import json
import os
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from tdbench.data import cifar10, decoding
from tdbench.data.archive import read_archive
from tdbench.data.sources import read_source
from tdbench.errors import TdbenchError
from tdbench.evaluation.inception_weights import PUBLISHED
from tdbench.runtime.downloads import Published, fetch
from tests.data.test_cifar10 import members
from tests.robustness.test_images import PIXELS, encoded, packed, tarred

LABELS = {"dataset.json": b'{"labels": null}'}


def forged_png(width: int, height: int) -> bytes:
    """A PNG whose head promises a size; there are few pixels behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def forged_jpeg(width: int, height: int) -> bytes:
    content = encoded("jpeg")
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def refused(path: Path | str, read: Callable[[], object]) -> str:
    with pytest.raises(TdbenchError) as caught:
        read()
    (mistake,) = caught.value.mistakes
    assert str(path) in mistake and mistake.isprintable()
    return mistake


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (forged_png(20_000, 20_000), "cannot use"),
        (forged_png(2**31 - 1, 2**31 - 1), "cannot use"),
        (forged_png(9_000, 9_000), "cannot use"),
        (forged_jpeg(65_500, 65_500), "cannot use"),
        (forged_jpeg(8, 8), ""),
    ],
)
def test_an_image_bomb_in_an_archive_takes_no_memory(
    image: bytes, words: str, tmp_path: Path, little_memory: None
) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(packed({"a.png": image, **LABELS}))
    if words:
        assert words in refused(path, lambda: read_archive(path))
    else:
        assert len(read_archive(path).images) == 1


def test_an_image_bomb_in_a_folder_takes_no_memory(tmp_path: Path, little_memory: None) -> None:
    for name, image in {"a.png": forged_png(20_000, 20_000), "b.jpg": forged_jpeg(65_500, 65_500)}.items():
        (tmp_path / name).write_bytes(image)
    said = refused(tmp_path, lambda: read_source("folder", tmp_path, 8))
    assert f"more than {Image.MAX_IMAGE_PIXELS:,} pixels" in said


def test_more_images_than_fit_into_the_machine_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few bytes can be many images that are large and empty."""
    blank = io.BytesIO()
    Image.new("L", (9_000, 9_000)).save(blank, "png")
    path = tmp_path / "bomb.zip"
    path.write_bytes(packed({f"{i}.png": blank.getvalue() for i in range(3)} | LABELS, zipfile.ZIP_DEFLATED))
    total = decoding.psutil.virtual_memory()._replace(total=200_000_000)
    monkeypatch.setattr(decoding.psutil, "virtual_memory", lambda: total)
    assert "3 images of 9000x9000 need 0.2 GB of memory, more than this machine" in refused(
        path, lambda: read_archive(path)
    )


def forge_size(content: bytes, name: bytes, size: int) -> bytes:
    """A zip whose directory says another unpacked size of a file."""
    at = content.rindex(name) - 46
    assert content[at : at + 4] == b"PK\1\2"
    return content[: at + 24] + struct.pack("<I", size) + content[at + 28 :]


@pytest.mark.parametrize("declared", [True, False])
def test_a_zip_bomb_is_not_unpacked(declared: bool, tmp_path: Path, little_memory: None) -> None:
    """64 MB of zeros in 65 kB; with a size in the directory that no image has, and with a small one there."""
    path, name = tmp_path / "bomb.zip", b"a.bmp"
    content = packed({**LABELS, name.decode(): bytes(2**26)}, zipfile.ZIP_DEFLATED)
    assert len(content) < 2**17
    path.write_bytes(forge_size(content, name, 300_000_001 if declared else 1000))
    said = refused(path, lambda: read_archive(path))
    assert "cannot use 1 image: a.bmp" in said
    assert ("unpacks to 300,000,001 bytes; at most 300,000,000" in said) == declared


@pytest.mark.slow
@pytest.mark.parametrize("declared", [True, False])
def test_a_bomb_of_labels_is_not_unpacked(declared: bool, tmp_path: Path, little_memory: None) -> None:
    path, bomb = tmp_path / "bomb.zip", b'{"labels": null' + b" " * 2**27 + b"}"
    content = packed({"a.png": encoded("png"), "dataset.json": bomb}, zipfile.ZIP_DEFLATED)
    path.write_bytes(content if declared else forge_size(content, b"dataset.json", 16))
    assert "dataset.json is not JSON" in refused(path, lambda: read_archive(path))


def test_a_bomb_in_the_archive_of_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None) -> None:
    path, batches = tmp_path / "cifar.tar.gz", members(cifar10.PYTHON)
    path.write_bytes(tarred(batches | {"cifar-10-batches-py/data_batch_1": bytes(2**26 + 1)}))
    monkeypatch.setitem(cifar10.CHECKSUMS, cifar10.PYTHON, hashlib.sha256(path.read_bytes()).hexdigest())
    assert "unpacks to 67,108,865 bytes" in refused(path, lambda: read_source("cifar10", path, None))


def test_what_is_damaged_of_cifar10_is_whole_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(tarred(members(cifar10.PYTHON)))
    monkeypatch.setitem(cifar10.CHECKSUMS, cifar10.PYTHON, hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(read_source("cifar10", path, None).images) == 20
    with tarfile.open(path) as tar:
        assert len(tar.getnames()) == 7


def test_names_that_lead_out_of_an_archive_write_nothing(tmp_path: Path) -> None:
    """Nothing is ever unpacked: names are names."""
    inner = tmp_path / "inner"
    inner.mkdir()
    path, names = inner / "evil.zip", ["../up.png", "/abs.png", "..\\win.png", "a/../../b.png"]
    path.write_bytes(packed(dict.fromkeys(names, encoded("png")) | LABELS))
    assert len(read_archive(path).images) == 4
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.zip", "inner"]


def test_a_link_in_an_archive_is_no_image(tmp_path: Path) -> None:
    path, link = tmp_path / "evil.zip", zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("dataset.json", '{"labels": null}')
    assert "cannot use 1 image: a.png (no image" in refused(path, lambda: read_archive(path))


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "pipe", "folder"])
def test_links_and_pipes_in_a_folder_are_not_waited_for(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(encoded("png"))
    if target == "pipe":
        os.mkfifo(folder / "a.png")
    elif target == "folder":
        (folder / "a").symlink_to(tmp_path)
    else:
        (folder / "a.png").symlink_to(target)
    said = refused(folder, lambda: read_source("folder", folder, 8))
    words = {"/etc/passwd": "a.png (no image", "folder": "a link to a folder"}
    assert words.get(target, "a.png (not a regular file)") in said


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(touch pwned) (w) file\nshowpage\n"


@pytest.mark.parametrize("form", ["eps", "gif", "ppm", "tga", "ico", "pdf"])
def test_another_format_under_a_harmless_name_is_not_decoded(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow goes by content, and gives PostScript to another program."""
    monkeypatch.setattr(subprocess, "check_call", lambda *_, **__: pytest.fail("another program was started"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("another program was started"))
    image = EPS if form == "eps" else encoded(form)
    path, folder = tmp_path / "evil.zip", tmp_path / "images"
    path.write_bytes(packed({"a.png": image, **LABELS}))
    folder.mkdir()
    (folder / "a.png").write_bytes(image)
    assert "no image of a kind that is read" in refused(path, lambda: read_archive(path))
    assert "no image of a kind that is read" in refused(folder, lambda: read_source("folder", folder, 8))


@pytest.mark.slow
def test_a_picture_with_a_bomb_of_text_is_refused(tmp_path: Path, little_memory: None) -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(2**28))
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    image = encoded("png")
    path = tmp_path / "bomb.zip"
    path.write_bytes(packed({"a.png": image[:33] + chunk + image[33:], **LABELS}))
    assert "cannot use 1 image: a.png" in refused(path, lambda: read_archive(path))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/weights.pth",
        "ftp://example.org/weights.pth",
        "file:///etc/passwd",
        "http://localhost.example.org/x",
    ],
)
def test_nothing_is_fetched_but_over_https(url: str, tmp_path: Path) -> None:
    said = refused(url, lambda: fetch(Published(url, "0" * 64, 1), tmp_path, "put it there"))
    assert "over https only" in said and list(tmp_path.iterdir()) == []


def test_a_site_that_sends_elsewhere_without_https_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://example.org/weights.pth")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/weights.pth"
        with pytest.raises(
            TdbenchError, match=r"http://example\.org/weights\.pth: files are downloaded over https only"
        ):
            fetch(Published(url, "0" * 64, 1), tmp_path, "put it there")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_all_that_is_fetched_has_an_address_with_https_and_a_checksum() -> None:
    known = [*PUBLISHED.values(), Published(f"{cifar10.URL}{cifar10.PYTHON}", cifar10.CHECKSUMS[cifar10.PYTHON], 1)]
    for file in known:
        assert file.url.startswith("https://") and len(bytes.fromhex(file.sha256)) == 32


def test_pixels_of_these_tests_are_read_when_nothing_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "good.zip"
    path.write_bytes(packed({"a.png": encoded("png"), "dataset.json": json.dumps({"labels": [["a.png", 0]]}).encode()}))
    np.testing.assert_array_equal(read_archive(path).images[0], PIXELS[0])
