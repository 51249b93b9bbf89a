"""A verdict has the size of the effect beside it, and two seeds decide nothing."""

import numpy as np
import pandas as pd
import pytest

from tdbench.reporting.statistics import TWO_SEEDS, compare
from tdbench.reporting.tables import readable_comparison


def table(td: list[float], baseline: list[float]) -> pd.DataFrame:
    cell = {"dataset": "d", "formulation": "edm", "metric": "fid", "library": "clean-fid", "features": "f"}
    rows = [
        cell | {"objective": name, "seed": seed, "run": f"{name}{seed}", "steps": 4, "nfe": 4, "value": value}
        for name, values in (("baseline", baseline), ("td", td))
        for seed, value in enumerate(values)
    ]
    return compare(pd.DataFrame(rows), "baseline", ["td"])


@pytest.mark.parametrize(
    ("td", "baseline", "verdict"),
    [
        ([12.0, 13.0, 14.0], [10.0, 11.1, 12.0], "worse, +18 %"),
        ([8.0, 9.0, 10.0], [10.0, 11.1, 12.0], "better, -18 %"),
        ([10.0, 11.0, 12.0], [10.5, 10.0, 12.6], "undecided, -0.3 %"),
        ([8.0, 9.0], [10.0, 11.0001], f"{TWO_SEEDS}, -19 %"),
        ([1.0, 1.0], [1000.0, 1000.0], f"{TWO_SEEDS}, -100 %"),
        ([8.0], [10.0], "undecided (one seed), -20 %"),
    ],
)
def test_words(td: list[float], baseline: list[float], verdict: str) -> None:
    assert readable_comparison(table(td, baseline))["verdict"].tolist() == [verdict]


def test_three_seeds_without_any_spread_still_decide() -> None:
    assert table([8.0] * 3, [10.0] * 3)["verdict"].tolist() == ["better"]


def test_a_baseline_of_zero_has_no_relative_size() -> None:
    found = table([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert np.isinf(found.difference / found.baseline_mean).all()
    assert "%" not in readable_comparison(found)["verdict"].iloc[0]
