"""Numbers with commas: a comma ends an entry of YAML, and what is left of 50,000 is 50."""

from pathlib import Path

import pytest

from tests.cases.calls import tdbench
from tests.conftest import TINY

COMMA = "in [ ] and { } a comma ends an entry, so write 50000 or 50_000 for 50,000"


def validated(folder: Path, old: str, new: str) -> str:
    """What is said of the tiny experiment with a part of its text changed."""
    text = TINY.read_text()
    assert text.count(old) == 1, old
    (folder / "e.yaml").write_text(text.replace(old, new))
    called = tdbench("validate", "e.yaml", cwd=folder)
    assert called.code == (2 if called.err else 0)
    return called.err


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ("[1,000]", f"000: a number with a leading zero; {COMMA}"),
        ("[1,000,000]", f"000: a number with a leading zero; {COMMA}"),
        ("[007]", "007: a number with a leading zero; "),
        ("{a: 50,500}", f"seeds: 500: a key must be text, not int; {COMMA}"),
    ],
)
def test_in_lists_and_mappings(seeds: str, words: str, tmp_path: Path) -> None:
    assert words in validated(tmp_path, "seeds: [0, 1]", f"seeds: {seeds}")


def test_the_number_of_images(tmp_path: Path) -> None:
    """As it was found: it ended in `sampling.0: 0: Keys should be strings`."""
    said = validated(tmp_path, "images: 128", "images: 50,000")
    assert said.count("\n") == 1 and "000: a number with a leading zero" in said and "line " in said


def test_in_a_block_it_is_a_text(tmp_path: Path) -> None:
    said = validated(tmp_path, "runs_per_job: 6", "runs_per_job: 50,000")
    assert "runs_per_job: '50,000': should be a valid integer" in said and "write 50000 or 50_000" in said


@pytest.mark.parametrize("seeds", ["[1000]", "[1_000]", "[0]", "[100,200]"])
def test_good_ones(seeds: str, tmp_path: Path) -> None:
    assert validated(tmp_path, "seeds: [0, 1]", f"seeds: {seeds}") == ""


def test_text_may_have_commas(tmp_path: Path) -> None:
    assert validated(tmp_path, "description: Every", "description: of 50,000 images, 007") == ""
