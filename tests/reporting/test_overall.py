"""One number over many comparisons."""

import numpy as np
import pandas as pd
import pytest

from tdbench.reporting.aggregates import interquartile_mean, overall_change, probability_of_improvement
from tdbench.reporting.statistics import compare


def scores(ratios: dict[int, dict[int, float]], baseline: float = 20.0) -> pd.DataFrame:
    """Scores at each (steps -> seed -> td / baseline)."""
    rows = []
    for steps, of_seeds in ratios.items():
        for seed, ratio in of_seeds.items():
            base = baseline * (1 + seed)  # seeds differ by far more than the objectives
            for objective, value in (("baseline", base), ("td", base * ratio)):
                rows.append(
                    {
                        "dataset": "d",
                        "formulation": "edm",
                        "objective": objective,
                        "metric": "fid",
                        "library": "clean-fid",
                        "features": "classifier",
                        "steps": steps,
                        "nfe": steps,
                        "seed": seed,
                        "value": value,
                    }
                )
    return pd.DataFrame(rows)


def change(per_run: pd.DataFrame):
    return overall_change(per_run, compare(per_run, "baseline", ["td"]), "baseline")


def test_the_geometric_mean_over_comparisons_with_an_interval_over_seeds() -> None:
    found = change(scores({4: {0: 0.5, 1: 0.5}, 9: {0: 2.0, 1: 2.0}}))
    assert found.percent == pytest.approx(0) and found.low == pytest.approx(0) and found.n == 2
    found = change(scores({4: {0: 1.1, 1: 1.2, 2: 1.3}}))
    logs = np.log([1.1, 1.2, 1.3])
    half = 4.302652729911275 * logs.std(ddof=1) / np.sqrt(3)  # Student's factor for two degrees of freedom
    assert found.percent == pytest.approx(100 * (np.exp(logs.mean()) - 1))
    assert (found.low, found.high) == pytest.approx(tuple(100 * (np.exp(logs.mean() + s * half) - 1) for s in (-1, 1)))


def test_one_seed_has_no_interval() -> None:
    found = change(scores({4: {0: 1.1}}))
    assert found.percent == pytest.approx(10) and np.isnan(found.low) and found.n == 1


def test_only_seeds_that_all_comparisons_have_count() -> None:
    found = change(scores({4: {0: 1.1, 1: 1.1}, 9: {1: 1.1, 2: 3.0}}))
    assert found.percent == pytest.approx(10) and found.n == 1
    assert change(scores({4: {0: 1.1}, 9: {1: 1.1}})) is None


def test_scores_that_are_not_positive_have_no_ratio() -> None:
    assert change(scores({4: {0: 1.1, 1: -0.1}})) is None


def test_the_interquartile_mean_and_the_probability_of_improvement_are_rliables() -> None:
    """The example of its own tests (google-research/rliable, tests/rliable/metrics_test.py)."""
    x, y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])
    assert interquartile_mean(x) == 1.5 and interquartile_mean(y) == 2
    assert probability_of_improvement(x, y) == pytest.approx(1 / 3)
    assert probability_of_improvement(y, y) == pytest.approx(0.5)
