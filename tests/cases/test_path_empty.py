"""An empty path is not the working folder."""

from pathlib import Path

import pytest

from tests.cases.calls import copied, refused, tdbench


def test_the_case(tmp_path: Path) -> None:
    case = copied("path-empty", tmp_path)
    said = refused("data", "folder", "--path", "", "--resolution", 8, "-o", "x.zip", cwd=case)
    assert said == "--path '': is empty; give a path" and not (case / "x.zip").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("status", ""), "RESULTS '': is empty; give a path"),
        (("classifier", ""), "DATASET '': is empty; give the name of a data set in the results"),
        (("reference", "digits", "--weights", ""), "--weights '': is empty; give a path"),
        (("show", "digits", "--results", ""), "--results '': is empty; give a path"),
        (("compare", "a", ""), "B '': is empty; give a path"),
        (("check-crate", ""), "CRATE '': is empty; give a path"),
        (("verify", ""), "FILES '': is empty; give a path"),
    ],
)
def test_further_members(call: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert refused(*call, cwd=tmp_path) == words


def test_the_working_folder_by_its_name(tmp_path: Path) -> None:
    case = copied("path-empty", tmp_path)
    call = ("data", "folder", "--path", ".", "--resolution", 8, "-o", "../x.zip")
    assert tdbench(*call, cwd=case).code == 0
