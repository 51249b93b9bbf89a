"""Only a regular file, or a new name, is written to: a FIFO, a socket or a folder stays what it is.

No test takes a device: replaced, it would be lost for the whole machine.
"""

import os
import socket
import stat
from pathlib import Path

import pytest

from tdbench.errors import TdbenchError
from tdbench.runtime import files
from tdbench.runtime.files import atomic_path, write_text
from tests.cases.calls import refused, tdbench
from tests.conftest import TINY

WORDS = "; give a regular file or a new name"


def test_the_case(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.zip")
    said = refused("data", "digits", "-o", "p.zip", cwd=tmp_path)
    assert said == f"p.zip: is a FIFO (a named pipe){WORDS}"
    assert stat.S_ISFIFO((tmp_path / "p.zip").stat().st_mode)


def test_a_socket_and_a_fifo_behind_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s.zip")
        assert refused("data", "digits", "-o", "s.zip", cwd=tmp_path) == f"s.zip: is a socket{WORDS}"
    os.mkfifo("pipe")
    Path("link.zip").symlink_to("pipe")
    said = refused("data", "digits", "-o", "link.zip", cwd=tmp_path)
    assert ": is a FIFO (a named pipe), the target of the symlink link.zip; give a" in said
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode) and Path("link.zip").is_symlink()


def test_the_summary_beside_the_archive_and_a_marker_count_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "o.json")
    assert refused("data", "digits", "-o", "o.zip", cwd=tmp_path).startswith("o.json: is a FIFO")
    assert not (tmp_path / "o.zip").exists()
    # Before the training, whose data are missing too.
    said = refused("train", TINY, "edm-td-seed0", "--marker", "o.json", cwd=tmp_path)
    assert said.startswith("o.json: is a FIFO")


def test_a_link_is_followed_to_the_file_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "old.zip").write_text("old")
    (tmp_path / "link.zip").symlink_to("old.zip")
    (tmp_path / "new.zip").symlink_to("data/new.zip")  # where nothing is yet
    for name, target in (("link.zip", "old.zip"), ("new.zip", "data/new.zip")):
        assert tdbench("data", "digits", "-o", name, cwd=tmp_path).code == 0
        assert (tmp_path / name).is_symlink() and not (tmp_path / target).is_symlink()
        assert (tmp_path / target).stat().st_size > 400_000


def test_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop.zip").symlink_to("loop.zip")
    with (
        pytest.raises(TdbenchError, match=r"loop\.zip: is a symlink to itself"),
        atomic_path(tmp_path / "loop.zip"),
    ):
        raise AssertionError


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_the_umask(mask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(mask)
    try:
        # Asked for once, when a process starts.
        monkeypatch.setattr(files, "_MODE", files._file_mode())
        write_text(tmp_path / "a.txt", "text")
        (tmp_path / "b.txt").write_text("as Python makes it")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
