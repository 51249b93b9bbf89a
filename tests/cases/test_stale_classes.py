"""A source folder's images added, replaced or removed: the archive is made again, and not otherwise."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tdbench.data.archive import read_archive
from tdbench.data.state import changed_since, source_state
from tdbench.data.summary import DataSummary
from tests.cases.calls import copied, environment, tdbench
from tests.conftest import ROOT

ARCHIVE, SUMMARY = "out/datasets/cl/archive.zip", "out/datasets/cl/archive.json"


def snakemake(folder: Path) -> str:
    """What Snakemake says while it makes the archive, if that is to be done."""
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--quiet", "rules"]
    config = ["--config", "experiment=exp3.yaml", "results=out", "--", ARCHIVE]
    done = subprocess.run([*command, *config], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_the_case(tmp_path: Path) -> None:
    case = copied("stale-classes", tmp_path)
    call = ("data", "folder", "--path", "cls", "--resolution", 8, "--output", ARCHIVE)
    assert tdbench(*call, cwd=case).code == 0 and len(read_archive(case / ARCHIVE).images) == 2
    shutil.copy(case / "new.jpg", case / "cls" / "cat" / "2.jpg")
    assert "cls: its files have changed since" in snakemake(case)
    assert len(read_archive(case / ARCHIVE).images) == 3
    assert not changed_since(
        case / "cls", DataSummary.model_validate_json((case / SUMMARY).read_text()), case / ARCHIVE
    )


def summary(state: str | None) -> DataSummary:
    """Of an archive that was made when the files were so; None: by an earlier version, which did not say."""
    return DataSummary(sha256="0" * 64, images=3, resolution=8, channels=1, classes=0, source_state=state)


def test_further_members(tmp_path: Path) -> None:
    """Removed, replaced in place by one of the same size, renamed, moved to another class; an archive's age is enough
    where an earlier version kept no state."""
    folder, archive = copied("stale-classes", tmp_path) / "cls", tmp_path / "archive.zip"
    archive.touch()
    file = folder / "cat" / "1.bmp"
    known, earlier = summary(source_state(folder)), summary(None)
    assert not changed_since(folder, known, archive) and not changed_since(folder, earlier, archive)
    (folder / ".DS_Store").write_text("what macOS leaves")
    assert not changed_since(folder, known, archive)
    content, times = file.read_bytes(), file.stat().st_mtime_ns
    file.write_bytes(content[::-1])
    os.utime(file, ns=(times, times + 1_000_000_000))
    assert changed_since(folder, known, archive)
    os.utime(file, ns=(times, times))
    assert not changed_since(folder, known, archive)
    file.rename(folder / "dog" / "1.bmp")
    assert changed_since(folder, known, archive)
    (folder / "dog" / "1.bmp").unlink()
    assert changed_since(folder, known, archive)
    (folder / "dog" / "new.bmp").write_bytes(content)
    os.utime(archive, (1, 1))
    assert changed_since(folder, earlier, archive)


def test_a_source_that_has_gone_is_no_change(tmp_path: Path) -> None:
    known = summary(source_state(copied("stale-classes", tmp_path) / "cls"))
    assert not changed_since(tmp_path / "nowhere", known, tmp_path / "archive.zip")
