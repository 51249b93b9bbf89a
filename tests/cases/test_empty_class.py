"""A class folder without images is refused: left out, it would give its number to the class behind it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cases.calls import copied, refused, tdbench

CALL = ("data", "folder", "--path", "f", "--resolution", 16, "-o", "o.zip")
REASON = "holds no images, but sub-folders are classes; put images there or remove it"


def test_the_case(tmp_path: Path) -> None:
    case = copied("empty-class", tmp_path)
    assert refused(*CALL, cwd=case) == f"f/b: {REASON}"
    assert not (case / "o.zip").exists()


@pytest.mark.parametrize("only", ["notes.txt", "deep/er/.hidden.png"])
def test_further_members(only: str, tmp_path: Path) -> None:
    """A folder with files that are no images, and one with hidden files alone."""
    case = copied("empty-class", tmp_path)
    (case / "f" / "b" / only).parent.mkdir(parents=True, exist_ok=True)
    (case / "f" / "b" / only).write_text("no image")
    assert f"f/b: {REASON}" in tdbench(*CALL, cwd=case).err


def test_one_class_with_images_beside_an_empty_one(tmp_path: Path) -> None:
    case = copied("empty-class", tmp_path)
    shutil.rmtree(case / "f" / "c")
    assert refused(*CALL, cwd=case) == f"f/b: {REASON}"


def test_names_of_classes_go_from_the_folder_to_the_archive_made_of_the_archive(tmp_path: Path) -> None:
    case = copied("empty-class", tmp_path)
    shutil.rmtree(case / "f" / "b")
    called = tdbench(*CALL, cwd=case)
    assert called.code == 0 and called.err == "" and "classes 2 (a 1, c 1)" in called.out
    assert tdbench("data", "archive", "--path", "o.zip", "-o", "p.zip", cwd=case).code == 0
    found = json.loads((case / "p.json").read_text())
    assert found["class_names"] == ["a", "c"] and found["class_counts"] == [1, 1]
