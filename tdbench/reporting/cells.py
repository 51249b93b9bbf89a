"""Cells of tables: a text for people, with the number for sorting."""

import math
import numbers
import sys
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tdbench.experiment.metrics import label

DASH = "—"
"""Shown in an empty cell."""
LARGEST = sys.float_info.max
"""Sort key of infinity."""


@dataclass(frozen=True)
class Cell:
    """A text for people, with its number for sorting; ``sort`` is None if there is none.

    Not a subclass of `str`, because pandas would convert its values to plain strings.
    """

    text: str
    sort: float | None = None

    def __str__(self) -> str:
        return self.text


NOTHING = Cell(DASH)


def sorts_by(value: Any) -> float | None:
    """The sort key of a cell; None for words and empty cells.

    It is a finite Python float, because the page writes it into HTML, where neither ``inf`` nor numpy's ``repr`` is
    a number.
    """
    key = value.sort if isinstance(value, Cell) else value
    if not isinstance(key, numbers.Real) or isinstance(key, bool):
        return None
    number = float(key)
    return None if math.isnan(number) else min(max(number, -LARGEST), LARGEST)


def is_empty(value: Any) -> bool:
    """Whether a cell has no content: None, NaN, an empty text or a dash."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("", DASH, "–")


def number(value: float, digits: int) -> Cell:
    """``digits`` significant digits, without an exponent for values in the range of scores."""
    return Cell(f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}", float(value))


def fixed(value: float, decimals: int) -> Cell:
    """``1.23``."""
    return Cell(f"{value:.{decimals}f}", value)


def spread(mean: float, std: float) -> Cell:
    """``12.34 ± 0.4``; without a spread (one seed) the mean alone."""
    return number(mean, 4) if pd.isna(std) else Cell(f"{number(mean, 4)} ± {number(std, 2)}", mean)


def interval(mean: float, low: float, high: float) -> Cell:
    """``-1.2 [-2.3, -0.1]``; without a spread (one seed) the mean alone."""
    texts = [f"{'+' if value >= 0 else ''}{number(value, 3)}" for value in (mean, low, high) if not pd.isna(value)]
    return Cell(texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]", mean)


def probability(p: float) -> Cell:
    """``0.03``; ``< 0.001`` for smaller values, a dash for NaN."""
    return NOTHING if pd.isna(p) else Cell("< 0.001", p) if p < 0.001 else number(p, 2)


def place_columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns that say where a score comes from, as tables for people begin."""
    return {
        "data": table.dataset,
        "formulation": table.formulation,
        "objective": table.objective,
        "metric": table.metric.map(label),
        "library": table.library,
        "steps": table.steps,
    }


def budget(steps: int) -> Cell:
    """``1 step``, ``4 steps``."""
    return Cell(f"{steps} step{'s' if steps != 1 else ''}", steps)
