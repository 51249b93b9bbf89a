"""The documentation stays short, and no paragraph stands twice."""

import re

from tests.conftest import ROOT
from tests.documentation.blocks import pages

MOST_WORDS, SCREENS, LINES_A_SCREEN = 19_500, 2, 50


def test_the_documentation_is_short() -> None:
    words = sum(len(path.read_text().split()) for path in (ROOT / "docs").rglob("*.md"))
    assert words <= MOST_WORDS, f"docs/ has {words} words"


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= SCREENS * LINES_A_SCREEN


def test_no_paragraph_stands_twice() -> None:
    seen: dict[str, str] = {}
    twice = []
    for page in pages():
        for paragraph in re.split(r"\n\s*\n", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)):
            text = " ".join(paragraph.split())
            if len(text.split()) > 12:
                if text in seen:
                    twice.append(f"{seen[text]} and {page.name}: {text[:80]}")
                seen[text] = page.name
    assert twice == []
