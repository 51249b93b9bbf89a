"""Damaged archives and folders of images, and CIFAR-10's archives with the right checksum and the wrong content."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tdbench.data import cifar10
from tdbench.data.archive import read_archive, write_archive
from tdbench.data.sources import read_source
from tests.data.test_cifar10 import members
from tests.robustness.damage import bad_json, damaged
from tests.robustness.tally import inputs, judge

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return content.getvalue()


def encoded(form: str, pixels: np.ndarray = PIXELS[0], **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(data, form, **options)
    return data.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_bytes_of_an_archive(compression: int, tmp_path: Path, little_memory: None) -> None:
    good, path = tmp_path / "good.zip", tmp_path / "bad.zip"
    write_archive(good, PIXELS, np.array([0, 1, 2, 0, 1, 2]))
    with zipfile.ZipFile(good) as archive:
        content = packed({name: archive.read(name) for name in archive.namelist()}, compression)

    @inputs(500)
    @given(damaged(content))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("archive, bytes", path, lambda: read_archive(path))

    check()


@pytest.mark.slow
def test_labels_of_an_archive(tmp_path: Path, little_memory: None) -> None:
    path, names = tmp_path / "bad.zip", [f"{i}.png" for i in range(3)]
    members = {name: encoded("png") for name in names}

    @inputs(600)
    @given(bad_json({"labels": [[name, i % 2] for i, name in enumerate(names)]}))
    def check(content: bytes) -> None:
        path.write_bytes(packed(members | {"dataset.json": content}))
        judge("archive, labels", path, lambda: read_archive(path))

    check()


def test_names_in_an_archive(tmp_path: Path, little_memory: None) -> None:
    path, image = tmp_path / "bad.zip", encoded("png")
    name = st.one_of(
        st.text(min_size=1, max_size=12).map(lambda text: f"{text}.png"),
        st.sampled_from(
            ["../../x.png", "/etc/x.png", "C:\\x.png", "a\nb.png", "\x1b[2J.png", "a/../b.png", "dataset.json", "..png"]
        ),
    )

    @inputs(250)
    @given(st.lists(name, min_size=1, max_size=3, unique=True), st.booleans())
    def check(names: list[str], labelled: bool) -> None:
        labels = [[each, 0] for each in names[: 1 if labelled else None]]
        members = {each.encode("utf-8", "replace").decode(): image for each in names}
        path.write_bytes(packed(members | {"dataset.json": json.dumps({"labels": labels}).encode()}))
        judge("archive, names", path, lambda: read_archive(path))

    check()
    assert [found.name for found in tmp_path.iterdir()] == ["bad.zip"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "bmp", "tiff"])
def test_bytes_of_images_in_a_folder(form: str, tmp_path: Path, little_memory: None) -> None:
    folder, content = tmp_path / "images", encoded(form)
    folder.mkdir()

    @inputs(250)
    @given(damaged(content))
    def check(content: bytes) -> None:
        (folder / f"image.{form}").write_bytes(content)
        judge("folder, bytes", folder, lambda: read_source("folder", folder, 8))

    check()


def tarred(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.slow
def test_content_of_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None) -> None:
    """As if the official checksum were that of a damaged file, which takes a forger of SHA-256."""
    path = tmp_path / "cifar"
    batches, name = members(cifar10.PYTHON), "cifar-10-batches-py/data_batch_3"
    pickles = st.one_of(damaged(batches[name]), damaged(pickle.dumps({b"data": np.zeros(4), b"labels": [0]})))

    @inputs(500)
    @given(st.one_of(damaged(tarred(batches)), pickles.map(lambda data: tarred(batches | {name: data}))))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        monkeypatch.setitem(cifar10.CHECKSUMS, cifar10.PYTHON, hashlib.sha256(content).hexdigest())
        judge("CIFAR-10", path, lambda: read_source("cifar10", path, None))

    check()
