"""Every command of the documentation works as written, or is planned, or has options that exist."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tdbench.records.layout import DatasetLayout
from tests.documentation.blocks import Command, commands
from tests.documentation.how import HOW, how
from tests.documentation.project import Project, check

pytestmark = pytest.mark.slow

COMMANDS = commands()


@pytest.fixture(scope="module")
def faults(prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is wrong with each command. Those that are run follow each other; planning goes on beside them.

    A command that stands in several places is tried once.
    """
    once = list({command.text: command for command in COMMANDS}.values())
    ran = [command for command in once if (entry := how(command.text)) and entry.way == "run"]
    others = [command for command in once if command not in ran]
    places = [tmp_path_factory.mktemp(name) / "project" for name in ("run", "planned")]
    finished, fresh = (Project(place) for place in places)
    with ThreadPoolExecutor(1) as pool:
        planned = pool.submit(lambda: {command.text: check(fresh, command) for command in others})
        finished.finish_small_experiment(prepared)
        found = {command.text: check(finished, command) for command in ran}
        return found | planned.result()


@pytest.mark.parametrize("command", COMMANDS, ids=[f"{command.where} {command.text[:60]}" for command in COMMANDS])
def test_a_documented_command_works(command: Command, faults: dict[str, str]) -> None:
    assert faults[command.text] == "", f"{command.where}: {command.text}"


def test_what_is_not_run_has_a_reason() -> None:
    assert all(entry.reason for entry in HOW if entry.way != "run")


def test_a_command_that_is_not_listed_is_a_fault(tmp_path: Path) -> None:
    assert "neither run nor listed" in check(Project(tmp_path / "project"), Command("here", "curl elsewhere"))


def test_an_option_that_does_not_exist_is_a_fault(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    wrong = Command("here", "tdbench plan digits --measure --tflop 3")
    assert check(project, wrong) == "no such option: --tflop"


def test_the_two_commands_are_in_the_readme() -> None:
    first = [command.text for command in COMMANDS if command.where.startswith("README.md")][:3]
    assert first == ["git clone REPOSITORY tdbench && cd tdbench", "make reproduce", "make test"]
