"""An archive and its summary never share a name."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.cases.calls import copied, refused, tdbench


@pytest.mark.parametrize("name", ["my.json", "my.JSON", "sub/p.json"])
def test_the_case_and_further_members(name: str, tmp_path: Path) -> None:
    said = refused("data", "digits", "-o", name, cwd=tmp_path)
    assert said == f"{name}: an archive is a zip, and its summary is the .json beside it; call it NAME.zip"
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_an_archive_too(tmp_path: Path) -> None:
    case = copied("labels-key", tmp_path)
    said = refused("data", "archive", "--path", "typo_key.zip", "-o", "p.json", cwd=case)
    assert said.startswith("p.json: an archive is a zip")


def test_two_archives_have_two_summaries(tmp_path: Path) -> None:
    case = copied("other-suffix", tmp_path)
    for size in (16, 32):
        call = ("data", "folder", "--path", "classes", "--resolution", size, "-o", f"data.{size}")
        assert tdbench(*call, cwd=case).code == 0
    assert [json.loads((case / f"data.{size}.json").read_text())["resolution"] for size in (16, 32)] == [16, 32]


def test_a_zip_has_its_summary_where_it_was(tmp_path: Path) -> None:
    assert tdbench("data", "digits", "-o", "a.b.zip", cwd=tmp_path).code == 0
    assert json.loads((tmp_path / "a.b.json").read_text())["images"] == 1797
    assert zipfile.is_zipfile(tmp_path / "a.b.zip")
