"""Files of other suffixes: images of formats that are not read are refused by name, all else is counted."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tdbench.data.archive import read_archive
from tests.cases.calls import INPUTS, copied, refused, tdbench

JPEG = (INPUTS / "other-suffix" / "folder" / "a.jpg").read_bytes()


def test_a_folder_names_the_images_that_are_not_read(tmp_path: Path) -> None:
    case = copied("other-suffix", tmp_path)
    said = refused("data", "folder", "--path", "folder", "--resolution", 16, "-o", "o.zip", cwd=case)
    assert said.startswith("folder: holds 2 images: b.avif, c.gif: unsupported format; convert to PNG")
    for name in ("b.avif", "c.gif"):
        (case / "folder" / name).unlink()
    called = tdbench("data", "folder", "--path", "folder", "--resolution", 16, "-o", "o.zip", cwd=case)
    assert called.code == 0 and called.err == "" and len(read_archive(case / "o.zip").images) == 3


def test_jfif_is_jpeg_and_its_class_keeps_its_place(tmp_path: Path) -> None:
    case = copied("other-suffix", tmp_path)
    called = tdbench("data", "folder", "--path", "classes", "--resolution", 16, "-o", "o.zip", cwd=case)
    assert called.code == 0 and "classes 3 (a 1, b 1, c 1)" in called.out
    assert json.loads((case / "o.json").read_text())["class_names"] == ["a", "b", "c"]


def test_an_archive_names_them_too(tmp_path: Path) -> None:
    case = copied("other-suffix", tmp_path)
    said = refused("data", "archive", "--path", "gif_some.zip", "-o", "o.zip", cwd=case)
    assert said.startswith("gif_some.zip: holds 1 image: 00000/img00000002.gif: unsupported format")


@pytest.mark.parametrize("name", ["a.HEIC", "a.jxl", "sub/a.pgm"])
def test_further_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    (path.parent / "a.jpg").write_bytes(JPEG)
    path.write_bytes(b"an image of another format")
    said = refused("data", "ffhq", "--path", "in", "--resolution", 16, "-o", "o.zip", cwd=tmp_path)
    assert said.startswith(f"in: holds 1 image: {name}: unsupported format")


def test_files_that_are_no_images_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("README.txt", "labels.csv", "Thumbs.db", "licence.pdf", ".DS_Store", "._a.jpg"):
        (folder / name).write_text("no image")
    (folder / "a.jpg").write_bytes(JPEG)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
        archive.writestr("__MACOSX/._b.png", "what macOS adds")
        archive.writestr("dataset.json", '{"labels": null}')
    for name, *source in (("in", "folder", "--resolution", 16), ("in.zip", "archive")):
        called = tdbench("data", *source, "--path", name, "-o", "o.zip", cwd=tmp_path)
        expected = f"{name}: left out 4 files that are no images: README.txt, Thumbs.db, labels.csv, ..."
        assert called.code == 0 and called.err == f"tdbench: warning: {expected}\n"
        assert len(read_archive(tmp_path / "o.zip").images) == 1


@pytest.mark.parametrize("suffix", ["jpe", "JFIF", "Jpeg"])
def test_every_name_of_jpeg(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(INPUTS / "other-suffix" / "folder" / "a.jpg", tmp_path / "in" / f"a.{suffix}")
    called = tdbench("data", "folder", "--path", "in", "--resolution", 16, "-o", "o.zip", cwd=tmp_path)
    assert called.code == 0 and called.err == ""
