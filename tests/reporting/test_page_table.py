"""What the page's tables are sorted by."""

import pandas as pd
import pytest

from tdbench.reporting.page.table import page_table


def keys(*cells: object) -> list[str]:
    (table,) = [page_table(pd.DataFrame({"column": list(cells)}), "caption")]
    assert [row[0][0] for row in table.rows] == ["" if pd.isna(cell) else str(cell) for cell in cells]
    return [row[0][1] for row in table.rows] if table.columns[0].numeric else []


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["41.72 ± 4.7", "9.1 ± 2", "136.3 ± 6.6"], [1, 0, 2]),
        (["+12.7 [+5.86, +19.5]", "-4.02 [-7.72, -0.331]", "−5"], [2, 1, 0]),
        (["0.001", "< 0.001", "0.02"], [1, 0, 2]),
        (["1000", "> 1000", "4"], [1, 2, 0]),
        (["1,797", "200", "1e-05"], [2, 1, 0]),
        (["29.03 ± 2.1, worse", "8", "12.5, better"], [2, 0, 1]),
        ([3, 20, 100], [0, 1, 2]),
        ([2.5, None, -1.0], [1, None, 0]),
        (["4", "—", ""], [0, None, None]),
    ],
)
def test_a_column_of_numbers_is_sorted_by_the_number_that_cells_begin_with(cells: list, order: list) -> None:
    found = [float(key) if key else None for key in keys(*cells)]
    known = sorted(value for value in found if value is not None)
    assert [None if value is None else known.index(value) for value in found] == order


@pytest.mark.parametrize(
    "cells", [["undecided", "better"], ["2026-11-24 12:00:00", "2026-11-25 12:00:00"], ["4", "four"], ["—", "—"]]
)
def test_words_dates_and_mixtures_stay_words(cells: list[str]) -> None:
    assert keys(*cells) == []
