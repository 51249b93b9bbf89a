"""The hooks of .pre-commit-config.yaml run what `make check` runs."""

import re
import shlex
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.quality import makefile

CONFIG = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS = CONFIG["repos"][0]["hooks"]
SILENT = {"--quiet", "-q"}
"""Options that change what a gate prints and not what it checks."""


def plain(words: list[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in SILENT | {"env"})


def test_the_hooks_run_the_commands_of_make_check() -> None:
    gates = sorted(plain(words) for words in makefile.commands("check"))
    assert gates == sorted(plain(shlex.split(hook["entry"])) for hook in HOOKS)
    tools = {"ruff", "mypy", "snakefmt", "python", "mkdocs"}
    assert {word.removeprefix(".venv/bin/") for gate in gates for word in gate if ".venv" in word} == tools


def test_the_hooks_work_offline_with_the_tools_of_the_environment() -> None:
    assert [repository["repo"] for repository in CONFIG["repos"]] == ["local"]
    for hook in HOOKS:
        assert {"id", "name", "entry", "language", "pass_filenames"} <= set(hook)
        assert hook["language"] == "system" and hook["pass_filenames"] is False
    assert len({hook["id"] for hook in HOOKS}) == len(HOOKS)
    # pre-commit is no dependency: CONTRIBUTING.md says how to use it.
    assert "pre-commit" not in (ROOT / "pyproject.toml").read_text()
    assert not re.search(r"^pre-commit\b", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert "pre-commit install" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(
    ("changed", "ids"),
    [
        ("tdbench/seeds.py", {"lint", "format", "types", "documentation"}),
        ("tests/test_seeds.py", {"lint", "format"}),
        ("Snakefile", {"workflow-format", "workflow-lint"}),
        ("workflow/rules/data.smk", {"workflow-format", "workflow-lint"}),
        ("docs/own.md", {"documentation"}),
        ("pyproject.toml", {"lint", "format", "types", "workflow-format"}),
        ("README.md", set()),
    ],
)
def test_a_change_runs_the_gates_that_it_can_break(changed: str, ids: set[str]) -> None:
    assert (ROOT / changed).is_file()
    assert {hook["id"] for hook in HOOKS if _concerns(hook, changed)} == ids


def _concerns(hook: dict[str, Any], path: str) -> bool:
    """As pre-commit selects hooks: by a pattern of the path, or by the type of the file."""
    suffixes = {"python": "py", "pyi": "pyi", "toml": "toml"}
    types = {suffixes[name] for name in hook.get("types_or", [])}
    return bool(re.search(hook.get("files", ""), path)) and (not types or path.rsplit(".", 1)[-1] in types)
