"""Fixtures that several tests share."""

from pathlib import Path

import pytest

from tdbench.data.archive import ImageSet, read_archive, write_archive
from tdbench.data.sources import digits
from tdbench.plan import Plan, load_plan

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "workflow" / "tiny.yaml"


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits as an archive."""
    path = tmp_path_factory.mktemp("data") / "digits.zip"
    write_archive(path, *digits(None))
    return path


@pytest.fixture(scope="session")
def images(archive: Path) -> ImageSet:
    return read_archive(archive)


@pytest.fixture(scope="session")
def tiny() -> Plan:
    """The experiment that the end-to-end tests run."""
    return load_plan(str(TINY))
