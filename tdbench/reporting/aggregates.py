"""Differences over many comparisons in a few numbers."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tdbench.experiment.metrics import lower_is_better
from tdbench.reporting.statistics import Baselines, paired_difference, sides_of


class Change(NamedTuple):
    """Change of a score in percent of the baseline's, with its 95 % interval over ``n`` seeds (NaN for one)."""

    percent: float
    low: float
    high: float
    n: int


class Overall(NamedTuple):
    """Differences over many comparisons in a few numbers."""

    change: Change
    """Geometric mean of the score over the baseline's."""
    interquartile: float
    """The same by the mean over the middle half of all ratios of seeds and cells, in percent (Agarwal et al. 2021)."""
    probability: float
    """Probability that a random run of the objective has a better score than one of its baseline, mean over cells
    (Agarwal et al. 2021)."""


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all scores of runs and cells (Agarwal et al. 2021, IQM)."""
    return float(stats.trim_mean(scores, 0.25, axis=None))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """P(X > Y) for a random run of each side, mean over cells (Agarwal et al. 2021). Ties count half.

    Parameters
    ----------
    scores, others : np.ndarray
        (runs, cells); the numbers of runs may differ. Higher is better.
    """
    wins = stats.mannwhitneyu(scores, others, axis=0, method="asymptotic").statistic
    return float(np.mean(wins / (len(scores) * len(others))))


def overall_change(
    per_run: pd.DataFrame, cells: pd.DataFrame, baseline: str, baselines: Baselines | None = None
) -> Change | None:
    """`overall` without the other two numbers."""
    found = overall(per_run, cells, baseline, baselines)
    return None if found is None else found.change


def overall(
    per_run: pd.DataFrame, cells: pd.DataFrame, baseline: str, baselines: Baselines | None = None
) -> Overall | None:
    """The geometric mean of score / baseline's score over comparisons, seed by seed, as a change in percent.

    Each seed gives one number, the mean of log ratios over all comparisons; the interval is Student's over seeds. It
    covers the variation over seeds, not over other formulations or budgets.

    Parameters
    ----------
    per_run : DataFrame
        Result of `collect.mean_over_snapshots`.
    cells : DataFrame
        Rows of `tables.comparison_table` to average over, with equal weights.
    baseline : str
        Name of the baseline objective.
    baselines : mapping or None
        As for `compare`.

    Returns
    -------
    Overall or None
        None if the comparisons have no common seed, or a score is not positive.
    """
    keys = ["dataset", "formulation", "metric", "library", "steps", "nfe"]
    names = list(cells.objective.unique())
    parts_of = {name: sides_of(per_run, baseline, name, baselines or {}) for name in names}
    parts = [
        rows[rows.objective == name].merge(
            rows[rows.objective == baseline], on=[*keys, "seed"], suffixes=("", "_baseline")
        )
        for name, rows in parts_of.items()
    ]
    both = pd.concat(parts).merge(cells[[*keys, "objective"]], on=[*keys, "objective"])
    if both.empty or not (both[["value", "value_baseline"]] > 0).to_numpy().all():
        return None
    ratios = np.log(both.value / both.value_baseline)
    columns = [*keys, "objective"]
    wide = both.assign(ratio=ratios).pivot(index="seed", columns=columns, values="ratio").dropna()
    if wide.empty or wide.shape[1] < len(cells):
        return None
    mean = wide.mean(axis=1).to_numpy()
    result = paired_difference(mean, np.zeros_like(mean))
    percent, low, high = (100 * float(np.expm1(value)) for value in (result.mean, result.low, result.high))
    scores = both.pivot(index="seed", columns=columns, values=["value", "value_baseline"]).dropna()
    better = 1.0 if not lower_is_better(str(cells.metric.iloc[0])) else -1.0
    probability = probability_of_improvement(
        better * scores["value"].to_numpy(float), better * scores["value_baseline"].to_numpy(float)
    )
    middle = 100 * math.expm1(interquartile_mean(wide.to_numpy()))
    return Overall(Change(percent, low, high, result.n), middle, probability)
