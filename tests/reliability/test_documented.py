"""The table of faults: every test that it names is there, and every message is one that tdbench gives."""

import ast
import errno
import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reliability.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| fault")]
# Quotation marks within a quotation.
_INNER = re.compile(r"`(tdbench (?:data|sample|reference|classifier|status|STAGE)[^`]*)`")
_PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|: | \(")


def test_there_is_a_row_for_every_test_of_a_fault() -> None:
    here = Path(__file__)
    tests = {f"{path.name}::{name}" for path in here.parent.glob("test_*.py") if path != here for name in _tests(path)}
    named = set(re.findall(r"(test_\w+\.py::test_\w+)", PAGE.read_text()))
    assert tests - named == {
        "test_clock.py::test_a_crate_has_no_end_before_its_begin",
        "test_clock.py::test_a_failure_is_noted_once_with_its_counts_though_the_clock_was_put_back",
        "test_clock.py::test_the_bar_goes_on",
        "test_two_at_once.py::test_markers_are_left_alone_while_a_snakemake_works_and_in_its_jobs",
        "test_two_at_once.py::test_one_that_ends_soon_is_waited_for",
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_its_tests_are_there_and_its_messages_real(row: str) -> None:
    assert row.count(" | ") == 4, "five cells"
    *_, seen, _, tests = row.strip("| ").split(" | ")
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests):
        assert name in _tests(ROOT / path)
    for message in re.findall(r"`([^`]+)`", _INNER.sub(r"´\1´", seen)):
        if message.startswith(("--", "Terminating")):
            continue  # Snakemake's
        for fragment in _fragments(message.replace("´", "`")):
            assert any(fragment in text for text in _TEXTS), f"nowhere in tdbench: {fragment!r} of {message!r}"


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def _fragments(message: str) -> list[str]:
    """What of a message does not depend on the case: neither names nor the system's words."""
    for number in (errno.ENOSPC, errno.EROFS):
        message = message.replace(os.strerror(number), "REASON")
    message = re.sub(r"(?<=tdbench )\w+ EXPERIMENT RUN(?=`)", "COMMAND", message).replace("tdbench COMMAND", "COMMAND")
    message = message.replace("--config results=FOLDER", "--config results=")
    parts = (part.strip("(): ") for part in _PLACEHOLDER.split(message))
    return [part for part in parts if len(part.strip("`")) > 2]


def _texts() -> list[str]:
    """Every constant text of the package, those within f-strings too."""
    found = []
    for path in (ROOT / "tdbench").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        found += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return found


_TEXTS = _texts()
