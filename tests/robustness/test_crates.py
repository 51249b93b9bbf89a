"""Crates of strangers: `tdbench check-crate` finds faults, and does not fall over them."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from rocrate.rocrate import ROCrate

from tdbench.errors import TdbenchError
from tdbench.reporting.crate import METADATA
from tdbench.reporting.crate.check import check_crate, checked_lines
from tests.robustness.damage import bad_json, damaged
from tests.robustness.tally import inputs, judge


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A small one that is whole."""
    made = ROCrate()
    for name, content in {"experiment.yaml": b"name: x\n", "mine.py": b"pass\n", "x/scores.csv": b"a,b\n1,2\n"}.items():
        source = tmp_path / "sources" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(content)
        checksum = hashlib.sha256(content).hexdigest()
        made.add_file(source, name, properties={"sha256": checksum, "contentSize": str(len(content))})
    made.write_zip(tmp_path / "good.zip")
    assert not check_crate(tmp_path / "good.zip").faults
    return tmp_path / "good.zip"


def find_faults(path: Path) -> None:
    """As the command does, whose exit code is 1 where there are faults."""
    found = check_crate(path)
    lines = checked_lines(path, found)
    assert all(line.isprintable() for line in lines), lines
    if found.faults:
        raise TdbenchError(*(f"{path}: {fault}" for fault in found.faults))


@pytest.mark.slow
def test_bytes_of_a_crate(crate: Path, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "bad.zip"

    @inputs(400)
    @given(damaged(crate.read_bytes()))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("crate, bytes", path, lambda: find_faults(path))

    check()


@pytest.mark.slow
def test_descriptions_of_a_crate(crate: Path, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(crate) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    @inputs(500)
    @given(bad_json(json.loads(members[METADATA])))
    def check(content: bytes) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in (members | {METADATA: content}).items():
                archive.writestr(name, data)
        judge("crate, description", path, lambda: find_faults(path))

    check()
