"""What is given as an archive and is another thing is called what it is."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tdbench.data.archive import read_archive, write_archive
from tests.cases.calls import refused, tdbench

CALL = ("data", "archive", "--path", "a.zip", "-o", "o.zip")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").mkdir()
    assert refused(*CALL, cwd=tmp_path).startswith("a.zip: is a folder, not an archive; source folder reads a folder")


def test_arrays(tmp_path: Path) -> None:
    """ADM's samples and reference batches are npz files, which are zips too."""
    np.savez(tmp_path / "a.npz", arr_0=np.zeros((2, 8, 8, 3), np.uint8))
    (tmp_path / "a.npz").rename(tmp_path / "a.zip")
    said = refused(*CALL, cwd=tmp_path)
    assert said.startswith("a.zip: holds NumPy arrays, as an npz does; an archive is a zip of image files")


def test_a_zip_made_on_windows_is_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i, image in enumerate(pixels):
            data = io.BytesIO()
            Image.fromarray(image).save(data, "png")
            archive.writestr(f"0000\\{i}.png", data.getvalue())
        archive.writestr("dataset.json", json.dumps({"labels": [["0000/0.png", 0], ["0000\\1.png", 1]]}))
    assert tdbench(*CALL, cwd=tmp_path).code == 0
    found = read_archive(tmp_path / "o.zip")
    np.testing.assert_array_equal(found.images, pixels.transpose(0, 3, 1, 2))
    assert found.class_counts == [1, 1]


def test_one_class_is_not_none(tmp_path: Path) -> None:
    place = tmp_path / "r" / "datasets" / "one" / "archive.zip"
    write_archive(place, np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.int64))
    said = refused("classifier", "one", "--results", "r", cwd=tmp_path)
    assert said.endswith("need labels of at least 2 classes; the archive has one class")
    write_archive(place, np.zeros((4, 1, 8, 8), np.uint8), None)
    said = refused("classifier", "one", "--results", "r", cwd=tmp_path)
    assert said.endswith("need labels of at least 2 classes; the archive has no labels")
