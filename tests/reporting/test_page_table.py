"""What the page's tables are sorted by."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from tdbench.reporting.cells import NOTHING, Cell, budget, fixed, interval, number, probability, spread
from tdbench.reporting.page.table import page_table


def keys(*cells: object) -> list[str]:
    table = page_table(pd.DataFrame({"column": list(cells)}), "caption")
    assert [row[0][0] for row in table.rows] == ["" if pd.isna(cell) else str(cell) for cell in cells]
    return [row[0][1] for row in table.rows] if table.columns[0].numeric else []


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        ([spread(41.72, 4.7), spread(9.1, 2), spread(136.3, 6.6)], [1, 0, 2]),
        ([interval(12.7, 5.86, 19.5), interval(-4.02, -7.72, -0.331), interval(-5, math.nan, math.nan)], [2, 1, 0]),
        ([probability(0.001), probability(0.0004), probability(0.02), probability(math.nan)], [1, 0, 2, None]),
        ([Cell("1000", 1000), Cell("> 1000", math.inf), number(4, 2)], [1, 2, 0]),
        ([Cell("29.03 ± 2.1, worse", 29.03), number(8, 2), Cell("12.5, better", 12.5)], [2, 0, 1]),
        ([budget(12), budget(1), budget(4)], [2, 0, 1]),
        ([fixed(1.5, 2), fixed(1.0, 2)], [1, 0]),
        ([3, 20, 100], [0, 1, 2]),
        ([2.5, None, -1.0], [1, None, 0]),
        ([number(4, 2), NOTHING, ""], [0, None, None]),
    ],
)
def test_a_column_of_numbers_is_sorted_by_what_its_cells_were_made_of(cells: list, order: list) -> None:
    found = [float(key) if key else None for key in keys(*cells)]
    known = sorted(value for value in found if value is not None)
    assert [None if value is None else known.index(value) for value in found] == order


@pytest.mark.parametrize("cells", [["undecided", "better"], ["2026-11-24", "4"], [number(4, 2), "four"], [NOTHING]])
def test_words_and_mixtures_stay_words(cells: list[str]) -> None:
    """Also where they look like numbers: nothing is read out of a text."""
    assert keys(*cells) == []


def test_a_cell_is_a_plain_text_to_all_who_print_it() -> None:
    frame = pd.DataFrame({"column": [spread(1.5, 0.25)]})
    assert frame.to_markdown(index=False) == frame.map(str).to_markdown(index=False)
    assert f"{spread(1.5, 0.25)}" == "1.5 ± 0.25" == str(spread(1.5, 0.25))


def test_every_key_of_a_column_of_numbers_is_a_finite_number() -> None:
    """Scripts read a key as a number only if it is written as one: neither ``inf`` nor ``np.float64(1.5)`` is."""
    cells = [
        fixed(np.float64(1.5), 2),
        spread(np.float64(41.72), np.float64(4.7)),
        interval(np.float64(12.7), 5.86, 19.5),
        budget(np.int64(4)),
        Cell("> 1000", math.inf),
        np.float64(2.5),
        np.int64(3),
        NOTHING,
    ]
    assert [key for key in keys(*cells) if not re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?|", key)] == []
