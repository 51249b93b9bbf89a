"""docs/walkthrough.md quotes the code as it is."""

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")


def quotations() -> list[tuple[str, str]]:
    """(file, code) of every row of its tables; a file is named by the last path before the table."""
    found, file = [], ""
    for line in PAGE.splitlines():
        if paths := re.findall(r"`(diffusion/[\w/]+\.py)`", line):
            file = paths[-1]
        elif line.startswith("| ") and (code := re.search(r"\| `(.+)` \|$", line)):
            found.append((file, code[1]))
    return found


def test_every_part_is_quoted() -> None:
    files = {file for file, _ in quotations()}
    assert {file.split("/")[1] for file in files} >= {"processes.py", "formulations", "objectives", "samplers.py"}


@pytest.mark.parametrize(("file", "code"), quotations())
def test_a_quotation_is_in_its_file(file: str, code: str) -> None:
    # The formatter may have wrapped the line.
    assert re.sub(r"\s+", "", code) in re.sub(r"\s+", "", (ROOT / "tdbench" / file).read_text())
