"""The documentation stays short, and no paragraph stands twice."""

import re
from pathlib import Path

from tests.conftest import ROOT
from tests.documentation.blocks import pages
from tools.results.__main__ import BLOCK

MOST_WORDS, SCREENS, LINES_A_SCREEN = 17_500, 2, 50


def written(path: Path) -> str:
    """A page without the tables and figures that a command writes."""
    return BLOCK.sub("", path.read_text())


def test_the_documentation_is_short() -> None:
    words = sum(len(written(path).split()) for path in (ROOT / "docs").rglob("*.md"))
    assert words <= MOST_WORDS, f"docs/ has {words} words"


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= SCREENS * LINES_A_SCREEN


def test_no_paragraph_stands_twice() -> None:
    seen: dict[str, str] = {}
    twice = []
    for page in pages():
        for paragraph in re.split(r"\n\s*\n", re.sub(r"^```.*?^```", "", written(page), flags=re.M | re.S)):
            text = " ".join(paragraph.split())
            if len(text.split()) > 12:
                if text in seen:
                    twice.append(f"{seen[text]} and {page.name}: {text[:80]}")
                seen[text] = page.name
    assert twice == []
