"""One number over many comparisons: by how much an objective changes a score."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from tdbench.reporting.statistics import paired_difference


class Change(NamedTuple):
    """Change of a score in percent of the baseline's, with its 95 % interval over ``n`` seeds (NaN for one)."""

    percent: float
    low: float
    high: float
    n: int


def overall_change(per_run: pd.DataFrame, cells: pd.DataFrame, baseline: str) -> Change | None:
    """The geometric mean of score / baseline's score over comparisons, seed by seed, as a change in percent.

    A seed gives one number, the mean of log ratios over all comparisons; the interval is Student's over seeds. It says
    how far other seeds could move the mean, not what other formulations or budgets would give.

    Parameters
    ----------
    per_run : DataFrame
        What `collect.mean_over_snapshots` gives.
    cells : DataFrame
        Rows of `tables.comparison_table`: what is averaged over, equal weights.
    baseline : str
        Name of the baseline objective.

    Returns
    -------
    Change or None
        None without a seed that all comparisons have, or where a score is not positive.
    """
    keys = ["dataset", "formulation", "metric", "library", "steps", "nfe"]
    treated = per_run.merge(cells[[*keys, "objective"]], on=[*keys, "objective"])
    control = per_run[per_run.objective == baseline]
    both = treated.merge(control, on=[*keys, "seed"], suffixes=("", "_baseline"))
    if both.empty or not (both[["value", "value_baseline"]] > 0).to_numpy().all():
        return None
    ratios = np.log(both.value / both.value_baseline)
    wide = both.assign(ratio=ratios).pivot(index="seed", columns=[*keys, "objective"], values="ratio").dropna()
    if wide.empty or wide.shape[1] < len(cells):
        return None
    mean = wide.mean(axis=1).to_numpy()
    result = paired_difference(mean, np.zeros_like(mean))
    percent, low, high = (100 * float(np.expm1(value)) for value in (result.mean, result.low, result.high))
    return Change(percent, low, high, result.n)
