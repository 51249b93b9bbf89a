"""Scores in the course of training, and their differences at equal images and at equal passes."""

import numpy as np
import pandas as pd
import pytest

from tdbench.reporting.collect import CURVE_COLUMNS
from tdbench.reporting.curves import curve_table, value_at
from tests.reporting.conftest import MadePage, MadeUp


class Known(MadeUp):
    """Curves 100 / passes: the objective has the same curve in passes, and so a worse one in images."""

    @property
    def curve_scores(self) -> pd.DataFrame:
        rows = []
        for objective, cost, ends in (("baseline", 3.0, (1, 2, 3, 4)), ("td", 4.0, (1, 2, 3))):
            for seed in (0, 1, 2):
                for thousand in ends:
                    passes = cost * 1000 * thousand
                    same = {"dataset": "digits", "formulation": "edm", "metric": "fid", "library": "clean-fid"}
                    place = {"features": "classifier", "steps": 9, "nfe": 17, "samples": 500, "run": objective}
                    at = {"images": 1000 * thousand, "kimg": float(thousand), "passes": passes, "seconds": passes / 100}
                    value = 1e5 * (1 + 0.1 * seed) / passes
                    rows.append(same | place | at | {"objective": objective, "seed": seed, "value": value})
        return pd.DataFrame(rows, columns=CURVE_COLUMNS)


@pytest.fixture(scope="module")
def table(made_page: MadePage) -> pd.DataFrame:
    return curve_table(Known(made_page.plan, made_page.path.parents[1]))


def test_differences_are_paired_at_equal_images_and_at_equal_passes(table: pd.DataFrame) -> None:
    td = table[table.objective == "td"].set_index("kimg")
    # 1e5 (1/4000 - 1/3000), times the mean of 1, 1.1 and 1.2.
    assert td.difference[1.0] == pytest.approx(1e5 * (1 / 4000 - 1 / 3000) * 1.1)
    assert td.at_passes.dropna().to_numpy() == pytest.approx(0, abs=1e-9)
    assert td.n.eq(3).all() and td["mean"][1.0] == pytest.approx(1e5 / 4000 * 1.1)
    assert td.difference_low[1.0] < td.difference[1.0] < td.difference_high[1.0]


def test_beyond_the_baselines_curve_there_is_no_difference(table: pd.DataFrame) -> None:
    """3,000 images of TD cost 12,000 passes, just what the longer baseline reaches."""
    td = table[table.objective == "td"].set_index("kimg")
    assert td.at_passes.notna().all() and table[table.objective == "baseline"].difference.isna().all()
    shorter = value_at(pd.Series([1.0, 2.0]), pd.Series([4.0, 1.0]), 2.1, positive=True)
    assert shorter is None and value_at(pd.Series([np.nan]), pd.Series([1.0]), 1.0, positive=True) is None


def test_between_points_the_logarithms_are_linear() -> None:
    assert value_at(pd.Series([1.0, 4.0]), pd.Series([16.0, 1.0]), 2.0, positive=True) == pytest.approx(4.0)
    assert value_at(pd.Series([1.0, 4.0]), pd.Series([3.0, -1.0]), 2.0, positive=False) == pytest.approx(1.0)
