"""The LaTeX tables of the default experiment: they compile, fit their page, and say what a paper prints."""

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from tdbench.errors import TdbenchError
from tdbench.records.report import TABLES
from tdbench.reporting import tables
from tdbench.reporting.latex import PREAMBLE, check_columns, latex, latex_table
from tests.reporting.conftest import MadePage, MadeUp

OVERFULL = re.compile(r"Overfull \\hbox \(([\d.]+)pt too wide\)")
TOLERANCE_PT = 1.0


@pytest.fixture(scope="module")
def written(made_page: MadePage, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every table of the default experiment as LaTeX."""
    found = MadeUp(made_page.plan, tmp_path_factory.mktemp("latex"))
    names = [one.name for row in TABLES if row.on_disk for one in row.of(found.plan)]
    for name in names:
        tables.write_table(found.layout.table(name), found.table(name))
    return [path for name in names for path in found.layout.table(name) if path.suffix == ".tex"]


def compiled(folder: Path, files: list[Path], body: str = "") -> str:
    """The log of pdflatex over an A4 article of these tables; the packages are those that the files name."""
    packages = PREAMBLE.partition("needs ")[2]
    (folder / "empty.tex").write_text(latex_table(pd.DataFrame(), "Nothing", "tab:empty"))
    inputs = "\n".join(f"\\input{{{path}}}" for path in [*files, folder / "empty.tex"])
    document = rf"\documentclass[11pt,a4paper]{{article}}{packages}\begin{{document}}{body}{inputs}\end{{document}}"
    (folder / "all.tex").write_text(document.replace(r"\begin{document}", "\\begin{document}\n"), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    log = (folder / "all.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-3000:]
    return log


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex: Debian's texlive-latex-recommended")
def test_every_table_compiles_and_fits_the_page(written: list[Path], tmp_path: Path) -> None:
    references = "".join(f"\\ref{{{label(path)}}} " for path in written)
    # Widths and references are known at the second run.
    compiled(tmp_path, written, references)
    log = compiled(tmp_path, written, references)
    assert "undefined references" not in log and "Missing character" not in log
    assert [width for width in OVERFULL.findall(log) if float(width) > TOLERANCE_PT] == []


def label(path: Path) -> str:
    found = re.search(r"\\label\{([^}]+)\}", path.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def test_every_character_is_one_that_the_fonts_have(written: list[Path]) -> None:
    """All is ASCII, in which LaTeX writes what the encoding of the file might not say."""
    for path in written:
        odd = {c for c in path.read_text(encoding="utf-8") if ord(c) > 126 or unicodedata.category(c) == "Cc"}
        assert odd <= {"\n"}, (path.name, odd)
        assert path.read_text().startswith(PREAMBLE)


def test_labels_carry_the_experiment(written: list[Path], made_page: MadePage) -> None:
    assert {label(path) for path in written} == {f"tab:{made_page.plan.experiment.name}-{p.stem}" for p in written}


def test_a_paper_prints_the_leading_metric_by_one_library(written: list[Path]) -> None:
    text = next(path for path in written if path.stem == "comparison").read_text()
    assert "; metric FID; library clean-fid" in text and "KID" not in text.partition(r"\toprule")[2]
    assert "seeds to decide" not in text and "corrected}" not in text.partition(r"\toprule")[2]


FRAME = pd.DataFrame({"data": ["a", "a"], "metric": ["FID∞", "KID"], "library": ["x", "x"], "δ": ["λ ≤ Δ", "[1, 2]"]})


def test_signs_of_mathematics_and_of_strangers() -> None:
    text = latex("FID∞ w‖δ‖² λ ≤ Δ − ± × “a” … 中 a_b 50 % [x] \\ {y} #1 & $ ~ ^")
    assert text.isascii() and r"\ensuremath{\infty}" in text and r"\ensuremath{\delta}" in text and "U+4E2D" in text
    assert r"a\_b 50 \%" in text and "{[}x{]}" in text and r"\#1 \& \$" in text


def test_columns_that_were_asked_for() -> None:
    text = latex_table(FRAME, "caption", "tab:x", ["δ", "data"])
    header = text.partition(r"\toprule")[2].partition(r"\midrule")[0]
    assert header.strip() == r"\ensuremath{\delta} & data \\"
    # All rows, since all were meant.
    assert "{[}1, 2{]} & a" in text


def test_an_unknown_column_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(TdbenchError, match=r"--columns 'verdit': no such column \(did you mean 'verdict'\?\); known"):
        check_columns(["verdit"], ["data", "verdict"])
