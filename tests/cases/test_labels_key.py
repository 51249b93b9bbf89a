"""dataset.json: only an explicit null says that there are no labels; anything else names the key."""

import json
import zipfile
from pathlib import Path

import pytest

from tdbench.data.archive import read_archive
from tests.cases.calls import INPUTS, copied, refused, tdbench

CALL = ("data", "archive", "--path", "a.zip", "-o", "o.zip")


def with_labels(folder: Path, content: object, name: str = "dataset.json") -> Path:
    """The images of the case with another dataset.json."""
    with zipfile.ZipFile(INPUTS / "labels-key" / "typo_key.zip") as given, zipfile.ZipFile(folder / "a.zip", "w") as z:
        for member in given.namelist():
            if member != "dataset.json":
                z.writestr(member, given.read(member))
        z.writestr(name, json.dumps(content))
    return folder


def test_the_case(tmp_path: Path) -> None:
    case = copied("labels-key", tmp_path)
    said = refused("data", "archive", "--path", "typo_key.zip", "-o", "o.zip", cwd=case)
    assert said.startswith('typo_key.zip: dataset.json: labels: is missing, found "label"; expected {"labels": [[')


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "labels: is missing, found nothing"),
        ({"labels": 0}, "labels: not a list"),
        ({"labels": ""}, "labels: not a list"),
        (None, "labels: null is not a mapping"),
        ([], "labels: [] is not a mapping"),
        ({"labels": False}, "labels: not a list"),
    ],
)
def test_further_members(content: object, words: str, tmp_path: Path) -> None:
    said = refused(*CALL, cwd=with_labels(tmp_path, content))
    assert said.startswith(f"a.zip: dataset.json: {words}") and "expected {" in said


def test_where_it_lies_deeper_the_place_is_named(tmp_path: Path) -> None:
    said = refused(*CALL, cwd=with_labels(tmp_path, {"labels": None}, "mine/dataset.json"))
    assert "dataset.json is missing; it lies in mine/dataset.json: zip the content of that folder" in said


def test_names_of_classes_have_to_fit(tmp_path: Path) -> None:
    labels = [["00000/img00000000.png", 0], ["00000/img00000001.png", 1]]
    said = refused(*CALL, cwd=with_labels(tmp_path, {"labels": labels, "class_names": ["cat"]}))
    assert 'class_names: ["cat"]; expected a list of 2 names' in said


def test_good_ones(tmp_path: Path) -> None:
    assert tdbench(*CALL, cwd=with_labels(tmp_path, {"labels": None})).code == 0
    assert read_archive(tmp_path / "o.zip").labels is None
    labels = [["00000/img00000000.png", 0], ["00000/img00000001.png", 1]]
    assert tdbench(*CALL, cwd=with_labels(tmp_path, {"labels": labels, "of": "others"})).code == 0
    assert read_archive(tmp_path / "o.zip").class_counts == [1, 1]
