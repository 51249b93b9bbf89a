"""Differences between objectives, paired by seed, with intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tdbench.reporting.collect import CELL

CONFIDENCE = 0.95
_COMPARED = (
    "baseline_mean", "baseline_std", "td_mean", "td_std", "difference", "difference_std", "difference_low",
    "difference_high", "n", "verdict",
)  # fmt: skip


class PairedDifference(NamedTuple):
    """TD minus baseline over the seeds that both have."""

    mean: float
    std: float
    low: float
    high: float
    n: int

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` only where the interval excludes zero; all metrics here fall as quality rises."""
        if self.n < 2:
            return "undecided (one seed)"  # no spread, no interval
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "undecided"


def paired_difference(treated: np.ndarray, control: np.ndarray) -> PairedDifference:
    """Student's interval of the mean of paired differences.

    Parameters
    ----------
    treated, control : np.ndarray
        (n,) values, seed by seed. With n = 1 there is no spread and the interval is NaN.
    """
    difference = np.asarray(treated, float) - np.asarray(control, float)
    n = len(difference)
    mean = float(difference.mean())
    if n < 2:
        return PairedDifference(mean, float("nan"), float("nan"), float("nan"), n)
    std = float(difference.std(ddof=1))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * std / np.sqrt(n)
    return PairedDifference(mean, std, mean - half, mean + half, n)


def summarise(per_run: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and n over seeds of every cell."""
    return per_run.groupby(CELL, sort=False)["value"].agg(mean="mean", std="std", n="count").reset_index()


def compare(per_run: pd.DataFrame, baseline: str, treated: list[str]) -> pd.DataFrame:
    """One row a cell of each treated objective: both sides' mean and spread, and their paired difference.

    Parameters
    ----------
    per_run : DataFrame
        What `collect.mean_over_snapshots` gives.
    baseline : str
        Name of the baseline objective.
    treated : list of str
        Names of the objectives to set against it.

    Returns
    -------
    DataFrame
        Without rows where no cell (data set, formulation, library, steps, NFE) has both sides.
    """
    rows = []
    keys = [k for k in CELL if k != "objective"]
    for objective in treated:
        sides = per_run[per_run.objective.isin([objective, baseline])]
        for cell, group in sides.groupby(keys, sort=False):
            wide = group.pivot(index="seed", columns="objective", values="value").dropna()
            if objective not in wide or baseline not in wide or wide.empty:
                continue
            td, base = wide[objective], wide[baseline]
            difference = paired_difference(td.to_numpy(), base.to_numpy())
            rows.append(
                dict(zip(keys, cell, strict=True))
                | {
                    "objective": objective, "baseline_mean": base.mean(), "baseline_std": base.std(),
                    "td_mean": td.mean(), "td_std": td.std(), "difference": difference.mean,
                    "difference_std": difference.std, "difference_low": difference.low,
                    "difference_high": difference.high, "n": difference.n, "verdict": difference.verdict,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=[*CELL, *_COMPARED]).sort_values(
        ["dataset", "formulation", "objective", "metric", "library", "steps"],
        key=in_order(per_run, objective=treated),
        ignore_index=True,
    )


def in_order(per_run: pd.DataFrame, **orders: list[str]) -> Callable[[pd.Series], pd.Series]:
    """A key to sort by: data sets and formulations as they come in ``per_run``, other columns in the orders given."""
    known = {key: list(per_run[key].unique()) for key in ("dataset", "formulation")} | orders
    places = {key: {name: i for i, name in enumerate(names)} for key, names in known.items()}
    return lambda column: column.map(places[column.name]) if column.name in places else column


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """How far two libraries differ on the same samples with the same features.

    Returns
    -------
    DataFrame
        One row a metric and set of features: sample sets, largest relative difference |a - b| / max(|a|, |b|),
        and whether it is within 1e-3. Empty where no two libraries extract the same features: with one library,
        or with Inception, of which each library has its own weights and resize.
    """
    keys = ["metric", "features", "resize", "run", "snapshot_kimg", "steps"]
    wide = scores.pivot(index=keys, columns="library", values="value").dropna(thresh=2)
    if wide.empty:
        return pd.DataFrame()
    spread, scale = wide.max(axis=1) - wide.min(axis=1), wide.abs().max(axis=1)
    relative = (spread / scale.where(scale > 0, 1)).rename("relative").reset_index()
    table = (
        relative.groupby(["metric", "features", "resize"])["relative"]
        .agg(sample_sets="count", largest="max")
        .reset_index()
    )
    table.insert(0, "libraries", " / ".join(wide.columns))
    table["agree to 1e-3"] = np.where(table["largest"] <= 1e-3, "yes", "NO")
    return table.rename(columns={"largest": "largest relative difference", "sample_sets": "sample sets"})
