"""The figures in README and docs are those of the reference results, and a page that has others is found."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tdbench.errors import TdbenchError
from tdbench.records.reference_results import RECORD, REFERENCES
from tdbench.runtime.files import sha256
from tests.conftest import ROOT
from tests.reporting.test_compare import scores
from tests.reporting.test_reference_results import write_reference
from tools.results import figures
from tools.results.__main__ import BLOCK, PAGES, stale
from tools.results.kept import verdicts, with_minus


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Pages and reference results, to be changed."""
    for name in PAGES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / REFERENCES, tmp_path / REFERENCES)
    return tmp_path


@pytest.mark.slow
def test_pages_and_pictures_have_the_figures_of_the_reference_results() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.results", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; python -m tools.results writes them"


def test_every_page_has_blocks() -> None:
    assert all(BLOCK.search((ROOT / name).read_text()) for name in PAGES)


def test_a_figure_that_changes_makes_its_page_stale(copy: Path) -> None:
    assert stale(copy) == {}
    path = copy / REFERENCES / "fid" / "sample-size.json"
    path.write_text(path.read_text().replace('"fid": 16.', '"fid": 77.'))
    ((page, text),) = stale(copy).items()
    assert page == copy / "docs" / "fid.md" and "| 100 | 77." in text


def test_a_reference_figure_that_changes_makes_the_readme_stale(copy: Path) -> None:
    """As after new reference results were kept; a table that was edited by itself is refused."""
    table = copy / REFERENCES / "digits" / "tables" / "comparison.csv"
    rows = pd.read_csv(table)
    wanted = (rows.metric == "fid") & (rows.formulation == "edm") & (rows.steps == 9)
    rows.loc[wanted, "baseline_mean"] = 1234.0
    rows.to_csv(table, index=False)
    with pytest.raises(TdbenchError, match=r"comparison\.csv: missing or changed since reference\.json was written"):
        stale(copy)
    path = copy / REFERENCES / "digits" / RECORD
    record = json.loads(path.read_text())
    record["files"]["tables/comparison.csv"] = sha256(table)
    path.write_text(json.dumps(record))
    found = stale(copy)
    assert set(found) == {copy / "README.md", copy / "docs" / "results.md"}
    assert all(" 1234 ± " in text for text in found.values())


def test_a_page_that_was_edited_by_hand_is_found(copy: Path) -> None:
    page = copy / "docs" / "fid.md"
    block = BLOCK.search(page.read_text())
    assert block is not None
    page.write_text(page.read_text().replace(block[0], block[0].replace("100", "111")))
    assert list(stale(copy)) == [page]


def test_a_picture_that_shows_other_figures_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_reference(tmp_path / REFERENCES, scores())
    drawn = {"docs/a.png": ("digits", "scores.csv", lambda kept: _plot(kept.per_run.value)), **_absent()}
    monkeypatch.setattr(figures, "FIGURES", drawn)
    (tmp_path / "docs").mkdir()
    ((path, draw),) = figures.stale(tmp_path).items()
    draw()
    assert path == tmp_path / "docs" / "a.png" and figures.stale(tmp_path) == {}
    Image.new("RGB", (2, 2)).save(path)
    assert list(figures.stale(tmp_path)) == [path]


def _plot(values):
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    axis.plot(values)
    return figure


def _absent():
    """A picture of an experiment that has no reference results yet."""
    return {"docs/b.png": ("not-yet", "scores.csv", None)}


def test_minus_signs_are_those_of_numbers() -> None:
    assert with_minus("td-half -0.5 [-1, +2], -.3 at 2-3") == "td-half −0.5 [−1, +2], −.3 at 2-3"


def test_verdicts_of_both_comparisons_are_one_word_where_they_agree() -> None:
    assert verdicts("worse", "worse") == "worse, both"
    assert verdicts("better", "undecided: still learning") == "better; undecided, still learning"
