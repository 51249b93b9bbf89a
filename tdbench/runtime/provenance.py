"""Provenance of results: code, versions, platform and time."""

import hashlib
import json
import platform
import subprocess
import tomllib
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from tdbench import __version__
from tdbench.validation import Record, Timestamp

_TRACED = (
    "torch",
    "torchvision",
    "clean-fid",
    "torch-fidelity",
    "diffusers",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "pandas",
    "mlflow",
    "snakemake",
)


class Provenance(Record):
    """The code, libraries, platform and time of a result."""

    git_commit: str
    code_sha256: str | None = None
    """`code_checksum`; None in a result without it."""
    versions: dict[str, str]
    platform: str | None = None
    written_at: Timestamp


@cache
def git_commit() -> str:
    """Return the commit of the running code, with ``-dirty`` after uncommitted changes.

    The repository around an installed package is unrelated to it. For an installed package this is the commit that it
    was installed from, if recorded, otherwise its version with the SHA-256 of its RECORD file.
    """
    root = Path(__file__).parents[2]
    if _git(root, "rev-parse", "--show-toplevel") == str(root.resolve()) and _is_own(root):
        found = _git(root, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
        if found is not None:
            return found
    return _installed()


def _is_own(root: Path) -> bool:
    """Return whether a repository is that of tdbench, by the name in its pyproject.toml."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return bool(project["name"] == "tdbench")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of git, or None without git or a repository."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _installed() -> str:
    """Identify the installed package by what its installer recorded."""
    try:
        package = metadata.distribution("tdbench")
        origin = json.loads(package.read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return f"{__version__}+unrecorded"
    commit = origin.get("vcs_info", {}).get("commit_id")
    record = package.read_text("RECORD") or ""
    return str(commit) if commit else f"{__version__}+{hashlib.sha256(record.encode()).hexdigest()[:12]}"


_plugins: dict[str, str] = {}


def trace_code(name: str, content: str) -> None:
    """Include a plug-in in `code_checksum`; ``content`` is its checksum or its version."""
    _plugins[name] = content


def code_checksum() -> str:
    """Return the SHA-256 of the code that makes results: the package without reporting, and the plug-ins in use."""
    return hashlib.sha256(f"{_package_checksum()} {sorted(_plugins.items())}".encode()).hexdigest()


@cache
def _package_checksum() -> str:
    """Cached at the first call, because later edits do not change the code that is already imported."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if "reporting" not in path.relative_to(root).parts:
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def same_code(origin: Provenance) -> bool:
    """Return whether a result comes from exactly the code and the libraries that run now."""
    return origin.code_sha256 == code_checksum() and origin.versions == versions()


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python, tdbench and the libraries that results depend on."""
    return {"python": platform.python_version(), "tdbench": __version__} | {n: metadata.version(n) for n in _TRACED}


def provenance() -> Provenance:
    """Return commit, versions, platform and time, to store with a result."""
    return Provenance(
        git_commit=git_commit(),
        code_sha256=code_checksum(),
        versions=versions(),
        platform=platform.platform(),
        written_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
