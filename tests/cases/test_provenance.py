"""Which code made a result: the commit of tdbench's own checkout, never of a repository that it happens to lie in."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tdbench.runtime import provenance
from tests.conftest import ROOT


def repository(folder: Path) -> str:
    """A repository with a commit; returns the commit."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    (folder / "of.others").write_text("a project that uses tdbench")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "theirs"]):
        subprocess.run([*git, *command], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def found(monkeypatch: pytest.MonkeyPatch, package: Path) -> str:
    """What is recorded of a package that lies there."""
    package.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(provenance, "__file__", str(package / "runtime" / "provenance.py"))
    provenance.git_commit.cache_clear()
    try:
        return provenance.git_commit()
    finally:
        provenance.git_commit.cache_clear()


@pytest.mark.parametrize("place", [".venv/lib/python3.11/site-packages/tdbench", "vendor/tdbench", "tdbench"])
def test_a_strangers_repository_is_not_tdbenchs(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its environment, in a folder of it, and as a folder of it that has the package's name."""
    theirs = repository(tmp_path)
    said = found(monkeypatch, tmp_path / place)
    assert theirs not in said and said.startswith(f"{provenance.__version__}+")


def test_its_own_checkout_has_the_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert found(monkeypatch, tmp_path / "tdbench").startswith(f"{provenance.__version__}+")
    own = repository(tmp_path)
    assert found(monkeypatch, tmp_path / "tdbench") == own
    (tmp_path / "of.others").write_text("changed")
    assert found(monkeypatch, tmp_path / "tdbench") == f"{own}-dirty"


def test_an_installation_from_a_commit_has_that_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        def read_text(self, name: str) -> str:
            return '{"vcs_info": {"commit_id": "' + "a" * 40 + '"}}' if name == "direct_url.json" else ""

    monkeypatch.setattr(provenance.metadata, "distribution", lambda _: Installed())
    assert found(monkeypatch, tmp_path / "site-packages" / "tdbench") == "a" * 40
