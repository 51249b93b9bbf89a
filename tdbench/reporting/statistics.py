"""Differences between objectives, paired by seed, with intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from tdbench.experiment.metrics import METRICS, lower_is_better
from tdbench.reporting.collect import CELL
from tdbench.seeds import derive_seed

CONFIDENCE = 0.95
# False discovery rate: the expected share of false verdicts among all "better" and "worse" of a table.
FALSE_DISCOVERIES = 1 - CONFIDENCE
POWER = 0.8
_MOST_SEEDS = 1000
TWO_SEEDS = "undecided (two seeds decide nothing)"
RESAMPLINGS = 2000
_COMPARED = (
    "baseline_mean",
    "baseline_std",
    "td_mean",
    "td_std",
    "difference",
    "difference_std",
    "difference_low",
    "difference_high",
    "n",
    "p",
)
_BOOTSTRAP = ("baseline_bootstrap_low", "baseline_bootstrap_high", "td_bootstrap_low", "td_bootstrap_high")
_DECIDED = ("p_corrected", "corrected_low", "corrected_high", "verdict", "seeds_needed")


class PairedDifference(NamedTuple):
    """TD minus baseline over their common seeds; ``p`` is of the two-sided paired t-test."""

    mean: float
    std: float
    low: float
    high: float
    p: float
    n: int


def paired_difference(treated: np.ndarray, control: np.ndarray) -> PairedDifference:
    """Student's interval of the mean of paired differences, not corrected for multiple comparisons.

    Parameters
    ----------
    treated, control : np.ndarray
        (n,) values in the same order of seeds. With n = 1, standard deviation, interval and p are NaN.
    """
    difference = np.asarray(treated, float) - np.asarray(control, float)
    n = len(difference)
    mean = float(difference.mean())
    if n < 2:
        none = float("nan")
        return PairedDifference(mean, none, none, none, none, n)
    std = float(difference.std(ddof=1))
    error = std / np.sqrt(n)
    # The functions behind scipy.stats.t, which takes fifty times as long for single numbers.
    half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * error
    # Without spread the interval is a point, so p is 0 or 1.
    p = 2 * float(special.stdtr(n - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return PairedDifference(mean, std, mean - half, mean + half, p, n)


def _std(values: np.ndarray) -> float:
    """Standard deviation (n - 1); NaN for n = 1."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def decide(table: pd.DataFrame, lower: bool = True) -> pd.DataFrame:
    """Verdicts on several differences, corrected for their number.

    Of twenty 95 % intervals, one is expected to exclude zero by chance. To keep the expected share of false claims at
    5 % or less, p is corrected by Benjamini and Hochberg (1995). The interval is widened to the level of Benjamini and
    Yekutieli (2005) for selected rows: it excludes zero exactly if the corrected p is at most 0.05. If no row has a
    difference, at most 5 % of tables contain a claim. Rows of one seed at several budgets are dependent; a test
    simulates tables of such rows.

    Parameters
    ----------
    table : DataFrame
        Rows with ``difference``, ``difference_std``, ``n`` and ``p``, all of one metric and library.
    lower : bool
        Whether lower values of the metric are better.

    Returns
    -------
    DataFrame
        The same with ``p_corrected``, ``corrected_low``, ``corrected_high``, ``verdict`` and ``seeds_needed`` (see
        `seeds_needed`).
    """
    # Two seeds give one degree of freedom, which is too little for a verdict.
    known = (table.n >= 3).to_numpy()
    corrected = np.full(len(table), np.nan)
    if known.any():
        corrected[known] = stats.false_discovery_control(table.p[known])
    claims = int((corrected <= FALSE_DISCOVERIES).sum())
    level = FALSE_DISCOVERIES * max(claims, 1) / max(known.sum(), 1)
    # One seed has no degree of freedom, and no interval.
    freedom = np.where(table.n > 1, table.n - 1, np.nan)
    half = special.stdtrit(freedom, 1 - level / 2) * table.difference_std / np.sqrt(table.n)
    low, high = table.difference - half, table.difference + half
    less, more = ("better", "worse") if lower else ("worse", "better")
    few = np.where(table.n == 2, TWO_SEEDS, "undecided (one seed)")
    verdict = np.select([~known, high < 0, low > 0], [few, less, more], default="undecided")
    needed = seeds_needed(table.difference.to_numpy(float), table.difference_std.to_numpy(float), level)
    return table.assign(
        p_corrected=corrected, corrected_low=low, corrected_high=high, verdict=verdict, seeds_needed=needed
    )


def seeds_needed(
    difference: np.ndarray | float, std: np.ndarray | float, level: float = FALSE_DISCOVERIES
) -> np.ndarray:
    """The number of seeds with which a paired t-test at ``level`` has 80 % power, if all is as measured.

    Computed from the noncentral t distribution. With few seeds it is a rough estimate, as ``std`` and ``difference``
    are.

    Parameters
    ----------
    difference, std : np.ndarray
        Means and standard deviations of paired differences, of one shape.

    Returns
    -------
    np.ndarray
        Of that shape; at least 2, infinity for more than 1,000 seeds or no difference, NaN without a standard deviation
        (one seed).
    """
    difference, std = np.abs(difference), np.asarray(std, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = difference / std
    # Bisection of all rows at once. Power rises with n.
    least, most = np.full(std.shape, 2), np.full(std.shape, _MOST_SEEDS + 1)
    while (least < most).any():
        n = (least + most) // 2
        bound = special.stdtrit(n - 1, 1 - level / 2)
        # At a power of 80 % the other tail is negligible. Far above it scipy's function is NaN.
        missed = special.nctdtr(n - 1, np.where(std > 0, effect, 0) * np.sqrt(n), bound)
        enough = ~(missed > 1 - POWER)
        least, most = np.where(enough, least, n + 1), np.where(enough, n, most)
    found = np.where(least <= _MOST_SEEDS, least.astype(float), np.inf)
    found = np.where(std == 0, np.where(difference > 0, 2.0, np.inf), found)
    return np.where(np.isnan(std), np.nan, found)


def bootstrap_intervals(samples: Sequence[np.ndarray]) -> np.ndarray:
    """95 % bootstrap intervals of means, by percentiles over `RESAMPLINGS` resamplings of the seeds.

    They assume no distribution, but are too narrow for few seeds: three seeds have ten different resamplings. Verdicts
    do not use them.

    Parameters
    ----------
    samples : sequence of np.ndarray
        (n,) values each; n may differ.

    Returns
    -------
    np.ndarray
        (len(samples), 2), lower and upper end; NaN for n = 1.
    """
    found = np.full((len(samples), 2), np.nan)
    lengths = np.array([len(values) for values in samples])
    for n in sorted(set(lengths[lengths > 1].tolist())):
        chosen = np.flatnonzero(lengths == n).tolist()
        result = stats.bootstrap(
            (np.stack([samples[i] for i in chosen]),),
            np.mean,
            axis=1,
            n_resamples=RESAMPLINGS,
            method="percentile",
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(derive_seed(0, "bootstrap", n)),
        )
        found[chosen] = np.column_stack(result.confidence_interval)
    return found


def summarise(per_run: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1), n, and bootstrap interval of the mean over seeds, one row per cell."""
    grouped = per_run.groupby(CELL, sort=False)["value"]
    table = grouped.agg(mean="mean", std="std", n="count").reset_index()
    table[["bootstrap_low", "bootstrap_high"]] = bootstrap_intervals([v.to_numpy(float) for _, v in grouped])
    return table


Baselines = Mapping[tuple[str, str, str], str]
"""(data set, formulation, objective) -> name of the baseline to compare with, where it is another one."""


def compare(
    per_run: pd.DataFrame, baseline: str, treated: list[str], baselines: Baselines | None = None
) -> pd.DataFrame:
    """One row per cell of each treated objective: means, standard deviations, paired difference and verdict.

    Verdicts are corrected for the number of rows of the same metric and library (`decide`).

    Parameters
    ----------
    per_run : DataFrame
        Result of `collect.mean_over_snapshots`.
    baseline : str
        Name of the baseline objective.
    baselines : mapping or None
        Other baselines, such as longer ones (`Plan.baselines_at_equal_passes`).
    treated : list of str
        Names of the objectives to compare with it.

    Returns
    -------
    DataFrame
        Without rows for cells (data set, formulation, library, steps, NFE) that one side lacks.
    """
    rows, values_of = [], []
    keys = [k for k in CELL if k != "objective"]
    for objective in treated:
        both = sides_of(per_run, baseline, objective, baselines or {})
        wide = both.pivot(index=[*keys, "seed"], columns="objective", values="value")
        wide = wide.reindex(columns=[baseline, objective]).dropna()
        for cell, group in wide.groupby(level=keys, sort=False):
            base, td = group.to_numpy(float).T
            difference = paired_difference(td, base)
            values_of += [base, td]
            rows.append(
                dict(zip(keys, cell, strict=True))
                | {
                    "objective": objective,
                    "baseline_mean": base.mean(),
                    "baseline_std": _std(base),
                    "td_mean": td.mean(),
                    "td_std": _std(td),
                    "difference": difference.mean,
                    "difference_std": difference.std,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "n": difference.n,
                    "p": difference.p,
                }
            )
    table = pd.DataFrame(rows, columns=[*CELL, *_COMPARED])
    table[list(_BOOTSTRAP)] = bootstrap_intervals(values_of).reshape(-1, 4)
    return _decided(table).sort_values(
        ["dataset", "formulation", "objective", "metric", "library", "steps"],
        key=in_order(per_run, objective=treated, metric=list(METRICS)),
        ignore_index=True,
    )


def sides_of(per_run: pd.DataFrame, baseline: str, objective: str, baselines: Baselines) -> pd.DataFrame:
    """The rows of an objective and of its baseline, which is called ``baseline`` whatever its name."""
    pairs = zip(per_run.dataset, per_run.formulation, strict=True)
    wanted = [baselines.get((dataset, formulation, objective), baseline) for dataset, formulation in pairs]
    control = per_run[(per_run.objective == pd.Series(wanted, per_run.index, dtype=object)).to_numpy(bool)]
    return pd.concat([per_run[per_run.objective == objective], control.assign(objective=baseline)])


def _decided(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return table.reindex(columns=[*table.columns, *_DECIDED])
    groups = table.groupby(["metric", "library"], sort=False)
    return pd.concat([decide(rows, lower_is_better(str(metric))) for (metric, _), rows in groups])


def in_order(per_run: pd.DataFrame, **orders: list[str]) -> Callable[[pd.Series], pd.Series]:
    """A sort key: data sets and formulations in the order of ``per_run``, other columns in ``orders``."""
    known = {key: list(per_run[key].unique()) for key in ("dataset", "formulation")} | orders
    places = {key: {name: i for i, name in enumerate(names)} for key, names in known.items()}
    return lambda column: column.map(places[column.name]) if column.name in places else column


def by_first_library(
    table: pd.DataFrame, metric: str, cell: Sequence[str] = ("dataset", "formulation")
) -> pd.DataFrame:
    """The rows of a metric by the first library of each data set and formulation."""
    found = table[table["metric"] == metric]
    return found[found["library"] == found.groupby([*cell], sort=False)["library"].transform("first")]


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """How far two libraries differ on the same samples with the same features.

    Returns
    -------
    DataFrame
        One row per metric and set of features: sample sets, largest relative difference |a - b| / max(|a|, |b|),
        and whether it is within 1e-3. Empty if no two libraries extract the same features: with one library, or
        with Inception, for which each library has its own weights and resize.
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
