"""What stands in the documentation besides commands: experiments, programs, links, and commands within a line."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from tdbench.cli.main import app
from tdbench.experiment.load import load_plan
from tdbench.experiment.schema import Experiment
from tests.cases.calls import own_plugins
from tests.conftest import ROOT
from tests.documentation.blocks import SHELL, Block, blocks, pages

BLOCKS = list(blocks())
PLAIN = ("text",)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`(tdbench [^`\n]+)`(?!`)")


def of(*languages: str) -> list[Any]:
    return [pytest.param(block, id=block.where) for block in BLOCKS if block.language in languages]


def test_every_block_names_a_language_that_is_checked() -> None:
    known = (*SHELL, *PLAIN, "yaml", "python")
    assert [block.where for block in BLOCKS if block.language not in known] == []


def _content(block: Block) -> Any:
    return YAML(typ="safe").load(block.text)


def _least() -> dict[str, Any]:
    """The documentation's own smallest experiment."""
    found = [_content(block) for block in BLOCKS if block.language == "yaml" and block.file == "docs/own.md"]
    return dict(next(content for content in found if "name" in content))


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_an_experiment_or_fits_into_one(block: Block, tmp_path: Path) -> None:
    """Or it is options of Snakemake, or a manifest of Kubernetes."""
    content = _content(block)
    if set(content) <= set(Experiment.model_fields):
        for example in (ROOT / "docs" / "examples").glob("*.py"):
            (tmp_path / example.name).write_text(example.read_text())
        path = tmp_path / "documented.yaml"
        with path.open("w") as handle:
            YAML(typ="safe").dump(_least() | content, handle)
        with own_plugins():
            assert load_plan(str(path)).runs
    elif "apiVersion" not in content:
        options = _snakemake_options()
        assert {key.replace("_", "-") for key in content} <= options


def _snakemake_options() -> set[str]:
    done = subprocess.run([sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True)
    return set(re.findall(r"--([a-z][a-z-]+)", done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("block", of("python"))
def test_python_runs(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "documented.py"
    program.write_text(block.text)
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def _anchor(heading: str) -> str:
    """As sites make them of a heading."""
    plain = re.sub(r"[`*\[\]]|\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w -]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for found in _LINK.finditer(text):
        target = found[1] or found[2]
        if "://" in target:
            assert target.startswith("https://"), target
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        anchors = {_anchor(h) for h in _HEADING.findall(path.read_text())} if anchor and path.is_file() else {anchor}
        if not path.exists() or anchor not in anchors:
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()])
def test_commands_within_a_line_exist(page: Path) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    unknown = []
    for text in _INLINE.findall(page.read_text()):
        words = text.split()[1:]
        names = words[0].split("|") if words else []
        # Words in capitals stand for others.
        if words and (words[0] == "--help" or words[0].isupper()):
            continue
        for name in names:
            options = {option for one in known[name].params for option in one.opts} if name in known else set()
            given = {word.split("=")[0] for word in words[1:] if word.startswith("-")} - {"--help"}
            if name not in known or not given <= options:
                unknown.append(text)
    assert unknown == []
