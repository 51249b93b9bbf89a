"""What `make check` holds, within the tests: continuous integration runs these alone."""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.quality.lint_workflow import DOES_NOT_HOLD, lints, remaining
from tests.quality.makefile import commands

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
GATES = {
    "types": ("mypy", "--no-color-output"),
    "lint": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "snakefmt": ("snakefmt", "--check", "Snakefile", "workflow"),
    "documentation": ("mkdocs", "build", "--strict", "--site-dir"),
}


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Future[str]]:
    """What each gate says, empty if it is content; two at a time, since mypy alone takes most of it."""
    site = str(tmp_path_factory.mktemp("site"))
    with ThreadPoolExecutor(2) as pool:
        return {
            name: pool.submit(_fault, (*command, site) if name == "documentation" else command)
            for name, command in GATES.items()
        }


def _fault(command: tuple[str, ...]) -> str:
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, env=env, capture_output=True, text=True)
    return f"{done.stdout[-4000:]}{done.stderr[-4000:]}" or str(done.returncode) if done.returncode else ""


@pytest.mark.parametrize("name", GATES)
def test_a_gate_is_content(name: str, gates: dict[str, "Future[str]"]) -> None:
    assert gates[name].result() == "", f"{' '.join(GATES[name])}; `make format` puts some of it right"


def test_snakemakes_lint_finds_only_what_is_explained() -> None:
    found = lints()
    assert remaining(found) == []
    # An explanation that nothing needs any more is taken away.
    assert {line.split(": ", 1)[1] for line in found} == set(DOES_NOT_HOLD)


def test_another_lint_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text('rule all:\n    output: "a"\n    shell: "touch {output[0]}"\n')
    assert any("individually by index" in line for line in remaining(lints(tmp_path)))


def test_a_workflow_that_cannot_be_read_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule all\n    what")
    with pytest.raises(RuntimeError):
        lints(tmp_path)


def test_make_check_and_the_tests_hold_the_same_gates() -> None:
    called = commands("check")
    for tool, *words in GATES.values():
        wanted = {f".venv/bin/{tool}", *words} - {"--no-color-output"}
        assert any(wanted <= set(one) for one in called), tool
    assert [".venv/bin/python", "tests/quality/lint_workflow.py"] in called
    assert len(called) == len(GATES) + 1
