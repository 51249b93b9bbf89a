"""One undisturbed result, and copies of it as it was after each stage."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tdbench.records.layout import DatasetLayout
from tests.conftest import results_with_data
from tests.reliability.calls import STAGES, reported, stage, tdbench
from tests.reliability.calls import outcome as outcome_of
from tests.reliability.disks import Disk, mounted

After = Callable[[str], Path]


@pytest.fixture(scope="session")
def stages_done(prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Stage -> a results folder in which all was done up to it, undisturbed; ``data`` comes before the first."""
    folder = tmp_path_factory.mktemp("undisturbed")
    results = results_with_data(folder / "data", prepared)
    # What the report needs besides the stages.
    done = tdbench("floor", "digits", "--samples", "96", "--results", str(results))
    assert done.code == 0, done.said
    made = {"data": results}
    for name in (*STAGES, "report"):
        made[name] = shutil.copytree(results, folder / name)
        results = made[name]
        done = stage(name, results)
        assert done.code == 0, done.said
    return made


@pytest.fixture(scope="session")
def undisturbed(stages_done: dict[str, Path]) -> dict[str, object]:
    """The numbers that every disturbed result has to end with."""
    return outcome_of(stages_done["evaluate"])


@pytest.fixture(scope="session")
def undisturbed_report(stages_done: dict[str, Path]) -> dict[str, object]:
    return reported(stages_done["report"])


@pytest.fixture
def after(stages_done: dict[str, Path], tmp_path: Path) -> After:
    """A copy of the results as they were after a stage."""
    return lambda name: shutil.copytree(stages_done[name], tmp_path / "results")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small disk of its own."""
    with mounted(tmp_path / "disk") as found:
        yield found
