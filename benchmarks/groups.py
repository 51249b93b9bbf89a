"""The groups of rows in the order of the table. A new group needs a file with `rows` and a line here."""

from collections.abc import Callable, Iterator

from benchmarks import checkpoints, cost, delta, growth, memory, pipeline, precision, textbook
from benchmarks.measure import Bench, Row

GROUPS: dict[str, tuple[str, Callable[[Bench], Iterator[Row]]]] = {
    "td": ("Step with TD / step of the baseline", cost.rows),
    "delta": ("The residual", delta.rows),
    "textbook": ("Our step / a textbook loop's", textbook.rows),
    "sampling": ("Our sampling / diffusers' pipeline", pipeline.rows),
    "checkpoints": ("Checkpoints", checkpoints.rows),
    "memory": ("Peak memory", memory.rows),
    "growth": ("Growth", growth.rows),
    "precision": ("The target's number format", precision.rows),
}
"""Name -> title and measurement."""
