"""The figures in README and docs are those of the reference results, and a page that has others is found."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tdbench.records.reference_results import RECORD, REFERENCES
from tdbench.runtime.files import sha256
from tests.conftest import ROOT
from tools.results import figures
from tools.results.__main__ import BLOCK, PAGES, stale

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Pages, pictures and reference results, to be changed."""
    for name in (*PAGES, *figures.FIGURES):
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / REFERENCES, tmp_path / REFERENCES)
    return tmp_path


def test_pages_and_pictures_have_the_figures_of_the_reference_results() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.results", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; python -m tools.results writes them"


def test_every_page_has_blocks_and_every_experiment_is_shown() -> None:
    text = {name: (ROOT / name).read_text() for name in PAGES}
    assert all(BLOCK.search(page) for page in text.values())
    for record in (ROOT / REFERENCES).glob(f"*/{RECORD}"):
        assert f"`{record.parent.name}`" in text["docs/results.md"]


def changed(root: Path, experiment: str, table: str, old: str, new: str) -> None:
    """Change a figure of the reference results, and the checksum with it, as a new run would."""
    folder = root / REFERENCES / experiment
    path = folder / table
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    record = json.loads((folder / RECORD).read_text())
    record["files"][table] = sha256(path)
    (folder / RECORD).write_text(json.dumps(record))


def test_a_reference_figure_that_changes_makes_the_pages_stale(copy: Path) -> None:
    assert stale(copy) == {}
    lines = (copy / REFERENCES / "digits" / "tables" / "comparison.csv").read_text().splitlines()
    names = lines[0].split(",")
    row = next(line for line in lines if line.startswith("digits,edm,td,fid,"))
    cells = row.split(",")
    cells[names.index("difference")] = "77.7"
    changed(copy, "digits", "tables/comparison.csv", row, ",".join(cells))
    found = stale(copy)
    assert {path.name for path in found} == {"README.md", "results.md"}
    assert all("+77.7" in text for text in found.values())


def test_a_picture_that_shows_other_figures_is_found(copy: Path) -> None:
    assert figures.stale(copy) == {}
    name, (experiment, file, _) = next(iter(figures.FIGURES.items()))
    first = (copy / REFERENCES / experiment / file).read_text().splitlines()[1]
    changed(copy, experiment, file, first, f"{first}0" if first[-1].isdigit() else f"{first}1")
    assert copy / name in figures.stale(copy)
    Image.new("RGB", (2, 2)).save(copy / name)
    changed(copy, experiment, file, first, first)
    assert copy / name in figures.stale(copy)


def test_a_page_that_was_edited_by_hand_is_found(copy: Path) -> None:
    page = copy / "docs" / "results.md"
    block = BLOCK.search(page.read_text())
    assert block is not None
    page.write_text(page.read_text().replace(block[0], block[0].replace("0", "1")))
    assert list(stale(copy)) == [page]
