"""Where a number comes from: code, versions, hardware, time."""

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tdbench import __version__

_TRACED = (
    "torch", "torchvision", "clean-fid", "torch-fidelity", "diffusers", "numpy", "scipy", "scikit-learn",
    "pillow", "pandas", "mlflow", "snakemake",
)  # fmt: skip


@cache
def git_commit() -> str:
    """Commit of the code that runs, with ``-dirty`` where it was changed since; ``unknown`` outside git."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@cache
def versions() -> dict[str, str]:
    """Versions of Python, tdbench and the libraries that results depend on."""
    return {"python": platform.python_version(), "tdbench": __version__} | {n: metadata.version(n) for n in _TRACED}


def provenance() -> dict[str, Any]:
    """Commit, versions, platform and time, to be stored beside a result."""
    return {
        "git_commit": git_commit(),
        "versions": versions(),
        "platform": platform.platform(),
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
