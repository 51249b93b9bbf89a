"""Job markers and file times, which Snakemake uses to decide what to run."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tdbench.runtime.files import write_json

AHEAD_S = 5.0
"""Tolerated difference to the clock of a file server, in seconds."""


def refresh_marker(marker: Path, stage: str, made: dict[str, Path]) -> None:
    """Make a marker match the last files that a stage wrote for some runs.

    The marker is removed if a file is missing. If someone repeated a run by hand, the marker is rewritten, so that the
    later stages run again: Snakemake compares its time and its content.

    Parameters
    ----------
    made : dict
        Name of a run -> the last file of the stage.
    """
    if not marker.exists():
        return
    if not all(path.exists() for path in made.values()):
        marker.unlink()
        return
    newest = max((path.stat().st_mtime for path in made.values()), default=0.0)
    if newest > marker.stat().st_mtime:
        write_json(marker, {"stage": stage, "runs": list(made), "done_by_hand_at": newest})


def clamp_future_times(paths: Iterable[Path]) -> list[Path]:
    """Set modification times in the future to now and return the changed files.

    Such times exist after a clock was set back. Snakemake would treat every output made from these files as outdated.
    """
    latest, moved = time.time() + AHEAD_S, []
    for path in paths:
        # Skip files that do not exist or belong to someone else.
        with suppress(OSError):
            if path.stat().st_mtime > latest:
                os.utime(path)
                moved.append(path)
    return moved
