"""An empty path, which an unset variable of the shell gives, and a folder are no files to write."""

from pathlib import Path

import pytest

from tests.cases.calls import refused, tdbench

FOLDER = "is a folder; give a regular file or a new name"


@pytest.mark.parametrize(
    ("output", "words"), [("", "--output '': is empty; give a path"), (".", f".: {FOLDER}"), ("sub", f"sub: {FOLDER}")]
)
def test_the_cases(output: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert refused("data", "digits", "-o", output, cwd=tmp_path) == words


@pytest.mark.parametrize("call", [("export", "digits", "-o", ""), ("train", "digits", "edm-td-seed0", "--marker", "")])
def test_further_members(call: tuple[str, ...], tmp_path: Path) -> None:
    assert refused(*call, cwd=tmp_path).endswith(" '': is empty; give a path")


def test_a_name_is_enough(tmp_path: Path) -> None:
    assert tdbench("data", "digits", "-o", "name", cwd=tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name", "name.json"]
