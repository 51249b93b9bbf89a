"""The work that each stage has done and has left, and the time it took, from the files that stages write.

Files are not validated, because importing the schema would take longer than everything else. Damaged files raise many
kinds of errors, which callers catch.
"""

import itertools
from collections.abc import Iterable, Iterator
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
    return len(content["samples"]) + len(content.get("curve", ()))


def sets_scored(content: Any) -> int:
    """Number of sample sets, counted for each library."""
    return len(_seconds_of_sets(content["scores"])) + len(_seconds_of_sets(content.get("curve", ())))


def training_seconds(content: Any) -> float | None:
    return number(content["training_seconds"])


def sampling_seconds(content: Any) -> float:
    return float(sum(record["seconds"] for record in (*content["samples"], *content.get("curve", ()))))


def scoring_seconds(content: Any) -> float:
    """Sum over sets and libraries."""
    return float(sum(sum(_seconds_of_sets(content.get(part, ())).values()) for part in ("scores", "curve")))


def _seconds_of_sets(rows: Iterable[Any]) -> dict[Any, float]:
    """Seconds of each set and library; all rows of one have the same time."""
    return {(row["snapshot_kimg"], row["steps"], row["library"]): row["seconds"] for row in rows}


def training_work(run: Expected) -> float | None:
    """Number of images."""
    return run.training_images


def sampling_work(run: Expected) -> float | None:
    """Images times steps, summed over all sets."""
    if run.sample_sets is None or run.set_images is None or not run.steps:
        return None
    return image_steps(run, 0, sum(size for size, _ in _sets(run)))


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
    ends = itertools.accumulate(size for size, _ in _sets(run))
    steps = [steps for _, steps in _sets(run)]
    current = next((n for end, n in zip(ends, steps, strict=True) if done < end), steps[-1] if steps else 1)
    return Left(image_steps(run, done, total), current)


def image_steps(run: Expected, begin: float, end: float) -> float:
    """Images times steps from the ``begin``-th image to the ``end``-th, over all sets in their order."""
    work = at = 0.0
    for size, steps in _sets(run):
        work += max(min(end, at + size) - max(begin, at), 0.0) * steps
        at += size
    return work


def _sets(run: Expected) -> Iterator[tuple[int, int]]:
    """Samples and steps of every set in their order: those of the scored snapshots, then those of the curve."""
    sets = min(run.sample_sets or 0, MOST_SETS) - run.curve_sets
    for count, size, budgets in (
        (sets, run.set_images, run.steps),
        (run.curve_sets, run.curve_images, run.curve_steps),
    ):
        if size and budgets:
            yield from ((size, budgets[i % len(budgets)]) for i in range(count))
