"""What stands in a cell of a table: a text for people, with the number that it is sorted by."""

import math
import numbers
import sys
from dataclasses import dataclass
from typing import Any

import pandas as pd

DASH = "—"
"""Where there is nothing to say."""
LARGEST = sys.float_info.max
"""What infinity is sorted as."""


@dataclass(frozen=True)
class Cell:
    """A text for people, with the number behind it; ``sort`` is None if there is none.

    No subclass of `str`, whose values pandas takes for plain texts.
    """

    text: str
    sort: float | None = None

    def __str__(self) -> str:
        return self.text


NOTHING = Cell(DASH)


def sorts_by(value: Any) -> float | None:
    """The number that a cell is sorted by; None for words and where there is nothing.

    It is a finite Python float: the page writes it into HTML, where neither ``inf`` nor numpy's ``repr`` is a number.
    """
    key = value.sort if isinstance(value, Cell) else value
    if not isinstance(key, numbers.Real) or isinstance(key, bool):
        return None
    number = float(key)
    return None if math.isnan(number) else min(max(number, -LARGEST), LARGEST)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing, which is neither a word nor a number."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("", DASH, "–")


def number(value: float, digits: int) -> Cell:
    """``digits`` significant digits, never an exponent for the sizes that scores have."""
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
    """``0.03``; small ones as a bound, none as a dash."""
    return NOTHING if pd.isna(p) else Cell("< 0.001", p) if p < 0.001 else number(p, 2)


def budget(steps: int) -> Cell:
    """``1 step``, ``4 steps``."""
    return Cell(f"{steps} step{'s' if steps != 1 else ''}", steps)
