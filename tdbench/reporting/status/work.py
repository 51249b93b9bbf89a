"""The work that each stage has done and has left, and the time it took, from the files that stages write.

Files are not validated, because importing the schema would take longer than everything else. Damaged files raise many
kinds of errors, which callers catch.
"""

import math
from typing import Any, NamedTuple

from tdbench.reporting.status.expected import MOST_SETS, Expected
from tdbench.runtime.progress_log import number


def _known(value: Any) -> float:
    found = number(value)
    if found is None:
        raise ValueError("no number")
    return found


def images_trained(content: Any) -> int:
    """Images shown until the last snapshot."""
    return max(int(_known(entry["images"])) for entry in content["snapshots"])


def sets_sampled(content: Any) -> int:
    return len(content["samples"])


def sets_scored(content: Any) -> int:
    """Number of sample sets, counted for each library."""
    return len({(row["snapshot_kimg"], row["steps"], row["library"]) for row in content["scores"]})


def training_seconds(content: Any) -> float | None:
    return number(content["training_seconds"])


def sampling_seconds(content: Any) -> float:
    return float(sum(record["seconds"] for record in content["samples"]))


def scoring_seconds(content: Any) -> float:
    """Sum over sets and libraries; all rows of one set and library have the same time."""
    return float(
        sum({(r["snapshot_kimg"], r["steps"], r["library"]): r["seconds"] for r in content["scores"]}.values())
    )


def training_work(run: Expected) -> float | None:
    """Number of images."""
    return run.training_images


def sampling_work(run: Expected) -> float | None:
    """Images times steps, summed over all sets."""
    if run.sample_sets is None or run.set_images is None or not run.steps:
        return None
    return image_steps(run, 0, run.sample_sets * run.set_images)


def scoring_work(run: Expected) -> float | None:
    """Number of sample sets, counted for each library."""
    return run.score_sets


class Left(NamedTuple):
    """The work left of a running stage, in a unit proportional to time."""

    work: float
    a_unit: float
    """Work of the current unit of progress."""


def units_left(_: Expected, done: float, total: float) -> Left:
    """Work left if all units of progress take the same time."""
    return Left(total - done, 1.0)


def image_steps_left(run: Expected, done: float, total: float) -> Left | None:
    """Work left in images times steps, because sets of few steps come first and take less time."""
    if not run.steps or not run.set_images:
        return None
    current = run.steps[min(int(done // run.set_images), int(total // run.set_images) - 1) % len(run.steps)]
    return Left(image_steps(run, done, total), current)


def image_steps(run: Expected, begin: float, end: float) -> float:
    """Images times steps from the ``begin``-th image to the ``end``-th, over all sets in their order."""
    size, work = run.set_images or 0, 0.0
    if not size or not run.steps or not 0 <= begin <= end <= size * MOST_SETS:
        return work
    for i in range(math.ceil(end / size)):
        overlap = min(end, (i + 1) * size) - max(begin, i * size)
        work += max(overlap, 0.0) * run.steps[i % len(run.steps)]
    return work
