"""Markers that follow the runs' files, which are no outputs of rules, and file times: what Snakemake decides by."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tdbench.runtime.files import write_json

AHEAD_S = 5.0
"""So far may the clock of a file server be ahead."""


def refresh_marker(marker: Path, stage: str, made: dict[str, Path]) -> None:
    """Make a marker follow the files that a stage of some runs wrote last.

    A marker whose files are gone is removed. If a run was done again by hand since, it is written again, so that the
    stages that follow run again: Snakemake goes by its time and its content.

    Parameters
    ----------
    made : dict
        Name of a run -> the file.
    """
    if not marker.exists():
        return
    if not all(path.exists() for path in made.values()):
        marker.unlink()
        return
    newest = max((path.stat().st_mtime for path in made.values()), default=0.0)
    if newest > marker.stat().st_mtime:
        write_json(marker, {"stage": stage, "runs": list(made), "done_by_hand_at": newest})


def into_the_present(paths: Iterable[Path]) -> list[Path]:
    """Give the time of now to files of the future, made before a clock was put back; returns those.

    Until that time Snakemake would reject everything made from them as older than its input.
    """
    latest, moved = time.time() + AHEAD_S, []
    for path in paths:
        # What is not there, or not ours, stays as it is.
        with suppress(OSError):
            if path.stat().st_mtime > latest:
                os.utime(path)
                moved.append(path)
    return moved
