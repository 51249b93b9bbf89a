"""A results folder on a file system that is, or becomes, read-only."""

import re
import shutil
from pathlib import Path

import pytest

from tdbench.errors import TdbenchError
from tdbench.workflow.flow import Workflow
from tests.reliability.calls import RUNS, SMALL, STAGES, finish, outcome, stage, tdbench
from tests.reliability.disks import Disk

READ_ONLY = "the folder cannot be written (Read-only file system); choose another folder"


def test_every_stage_says_so_and_goes_on_once_it_is_writable(
    disk: Disk, stages_done: dict[str, Path], undisturbed: dict[str, object]
) -> None:
    shutil.copytree(stages_done["evaluate"], disk.results)
    disk.read_only(True)
    for name in STAGES:
        done = stage(name, disk.results)
        places = [disk.results / "small" / "runs" / run for run in RUNS]
        assert done.code == 2 and done.errors == [f"tdbench: error: {place}: {READ_ONLY}" for place in places]
    stage("report", disk.results).refused(f"{disk.results}/small/tables: {READ_ONLY}")
    archive = disk.results / "datasets" / "digits" / "archive.zip"
    tdbench("data", "digits", "--output", archive).refused(f"{archive.parent}: {READ_ONLY}")
    assert tdbench("status", disk.results).code == 0  # which only reads
    disk.read_only(False)
    finish(disk.results)
    assert outcome(disk.results) == undisturbed


@pytest.mark.slow
def test_snakemake_says_so_before_it_plans_anything(disk: Disk) -> None:
    disk.results.mkdir()
    disk.read_only(True)
    with pytest.raises(TdbenchError, match=re.escape(f"{disk.results}: {READ_ONLY}")):
        Workflow.read({"experiment": str(SMALL), "results": str(disk.results)}, main_process=True)
