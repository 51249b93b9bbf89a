"""The forms for issues and pull requests are valid, and what they tell people to type exists."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from tdbench.cli.main import app
from tests.conftest import ROOT

FOLDER = ROOT / ".github"
FORMS = sorted((FOLDER / "ISSUE_TEMPLATE").glob("*.yml"))
FILES = [*FORMS, FOLDER / "PULL_REQUEST_TEMPLATE.md"]
TYPES = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
"""The elements that a form of GitHub's may have."""


def form(name: str) -> Any:
    return YAML(typ="safe").load((FOLDER / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())


def fault(command: str) -> str:
    """What is wrong with a command that a form names; empty if nothing is. Words in capitals stand for others."""
    program, *words = shlex.split(command)
    if program == "tdbench":
        known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        if words[0] not in known:
            return f"no such command: {words[0]}"
        options = {option for one in known[words[0]].params for option in one.opts}
        unknown = [word for word in words[1:] if word.startswith("-") and word not in options]
        return f"no such option: {unknown[0]}" if unknown else ""
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        missing = [word for word in words if not re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE)]
        return f"no such target: {missing[0]}" if missing else ""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return "" if shutil.which(program, path=path) else f"no such program: {program}"


def test_there_is_a_form_for_bugs_results_and_features() -> None:
    assert [path.stem for path in FORMS] == ["bug", "feature", "result"]


@pytest.mark.parametrize("name", [path.stem for path in FORMS])
def test_a_form_is_what_github_takes(name: str) -> None:
    content = form(name)
    assert {"name", "description", "body"} <= set(content) <= {"name", "description", "title", "labels", "body"}
    fields = [element for element in content["body"] if element["type"] != "markdown"]
    assert fields and {element["type"] for element in content["body"]} <= TYPES
    ids, labels = ([*values] for values in zip(*((f["id"], f["attributes"]["label"]) for f in fields), strict=True))
    assert len(set(ids)) == len(ids) and len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", identifier) for identifier in ids)
    for element in content["body"]:
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert set(element["attributes"]) <= {"label", "description", "placeholder", "value", "render", "options"}
        assert set(element.get("validations", {})) <= {"required"}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_what_a_form_tells_people_to_type_exists(path: Path) -> None:
    text = path.read_text()
    commands = re.findall(r"`([^`]+)`", text)
    assert {command: fault(command) for command in commands} == dict.fromkeys(commands, "")
    assert commands or path.stem == "feature"
    # Files of the project that are named exist; those of the results are made by the stages.
    named = re.findall(r"(?<![\w/])((?:docs|workflow)/[\w/.-]*\w|CHANGELOG\.md)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert "://" not in text, "names no host"


def test_a_bug_report_asks_for_what_is_needed_to_repeat_it() -> None:
    required = {element["id"] for element in form("bug")["body"] if element.get("validations", {}).get("required")}
    assert required == {"command", "happened", "expected", "provenance"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tdbench stat", "no such command: stat"),
        ("tdbench show EXPERIMENT --nothing", "no such option: --nothing"),
        ("make chek", "no such target: chek"),
        ("no-such-program --version", "no such program: no-such-program"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, said: str) -> None:
    assert fault(command) == said
