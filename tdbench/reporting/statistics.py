"""Differences between objectives, paired by seed, with intervals."""

import bisect
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special, stats

from tdbench.experiment.metrics import METRICS, lower_is_better
from tdbench.reporting.collect import CELL
from tdbench.seeds import derive_seed

CONFIDENCE = 0.95
# Of what is called better or worse in a table, at most this share is expected to be so by chance.
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
    """TD minus baseline over the seeds that both have; ``p`` is that of the two-sided paired t-test."""

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
        (n,) values, seed by seed. With n = 1 there is no spread, and interval and p are NaN.
    """
    difference = np.asarray(treated, float) - np.asarray(control, float)
    n = len(difference)
    mean = float(difference.mean())
    if n < 2:
        none = float("nan")
        return PairedDifference(mean, none, none, none, none, n)
    std = float(difference.std(ddof=1))
    error = std / np.sqrt(n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * error
    # Without any spread the interval is a point, which excludes zero or is zero.
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else float(mean == 0)
    return PairedDifference(mean, std, mean - half, mean + half, p, n)


def decide(table: pd.DataFrame, lower: bool = True) -> pd.DataFrame:
    """Verdicts on differences that stand side by side, corrected for their number.

    Twenty intervals of 95 % exclude zero once by chance. So that of all claims at most 5 % are expected to be false, p
    is corrected by the procedure of Benjamini and Hochberg (1995), and the interval widened to the level that
    Benjamini and Yekutieli (2005) give for what it selects: it excludes zero where the corrected p is at most 0.05, and
    there alone. Where there is no difference at all, any claim is made in at most 5 % of tables. Rows of one
    seed at several budgets depend on each other; a test simulates tables of such rows.

    Parameters
    ----------
    table : DataFrame
        Rows with ``difference``, ``difference_std``, ``n`` and ``p``, all of one metric and library.
    lower : bool
        Whether the metric falls as quality rises.

    Returns
    -------
    DataFrame
        The same with ``p_corrected``, ``corrected_low``, ``corrected_high``, ``verdict`` and ``seeds_needed``,
        which see `seeds_needed`.
    """
    # Of two seeds the spread is one number: it decides nothing.
    known = (table.n >= 3).to_numpy()
    corrected = np.full(len(table), np.nan)
    if known.any():
        corrected[known] = stats.false_discovery_control(table.p[known])
    claims = int((corrected <= FALSE_DISCOVERIES).sum())
    level = FALSE_DISCOVERIES * max(claims, 1) / max(known.sum(), 1)
    half = stats.t.ppf(1 - level / 2, table.n - 1) * table.difference_std / np.sqrt(table.n)
    low, high = table.difference - half, table.difference + half
    less, more = ("better", "worse") if lower else ("worse", "better")
    few = np.where(table.n == 2, TWO_SEEDS, "undecided (one seed)")
    verdict = np.select([~known, high < 0, low > 0], [few, less, more], default="undecided")
    needed = [seeds_needed(*row, level) for row in zip(table.difference, table.difference_std, strict=True)]
    return table.assign(
        p_corrected=corrected, corrected_low=low, corrected_high=high, verdict=verdict, seeds_needed=needed
    )


def seeds_needed(difference: float, std: float, level: float = FALSE_DISCOVERIES) -> float:
    """With how many seeds a paired t-test at ``level`` finds a difference in 80 % of cases, if all is as measured.

    From the noncentral t distribution. A rough guide: from few seeds, ``std`` and ``difference`` are rough themselves.

    Returns
    -------
    float
        At least 2; infinity for more than 1,000 (or no difference at all), NaN without a spread (one seed).
    """
    if np.isnan(std):
        return float("nan")
    if std == 0:
        return 2.0 if difference else float("inf")
    effect = abs(difference) / std

    def power(n: int) -> float:
        bound = special.stdtrit(n - 1, 1 - level / 2)
        # The other tail adds nothing where the power is 80 %.
        return 1 - float(special.nctdtr(n - 1, effect * math.sqrt(n), bound))

    enough = 2 + bisect.bisect_left(range(2, _MOST_SEEDS + 1), POWER, key=power)
    return float(enough) if enough <= _MOST_SEEDS else float("inf")


def bootstrap_intervals(samples: Sequence[np.ndarray]) -> np.ndarray:
    """95 % bootstrap intervals of means, by percentiles over `RESAMPLINGS` resamplings of the seeds.

    They assume no distribution, and are too narrow for few seeds: with three there are ten different resamplings. No
    verdict rests on them.

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
    """Mean, standard deviation (n - 1), n, and the mean's bootstrap interval over seeds of every cell."""
    grouped = per_run.groupby(CELL, sort=False)["value"]
    table = grouped.agg(mean="mean", std="std", n="count").reset_index()
    table[["bootstrap_low", "bootstrap_high"]] = bootstrap_intervals([v.to_numpy(float) for _, v in grouped])
    return table


def compare(per_run: pd.DataFrame, baseline: str, treated: list[str]) -> pd.DataFrame:
    """One row a cell of each treated objective: both sides' mean and spread, their paired difference, and a verdict.

    Verdicts are corrected for the number of rows of the same metric and library (`decide`).

    Parameters
    ----------
    per_run : DataFrame
        What `collect.mean_over_snapshots` gives.
    baseline : str
        Name of the baseline objective.
    treated : list of str
        Names of the objectives to compare with it.

    Returns
    -------
    DataFrame
        Without rows where no cell (data set, formulation, library, steps, NFE) has both sides.
    """
    rows, sides_of = [], []
    keys = [k for k in CELL if k != "objective"]
    for objective in treated:
        sides = per_run[per_run.objective.isin([objective, baseline])]
        for cell, group in sides.groupby(keys, sort=False):
            wide = group.pivot(index="seed", columns="objective", values="value").dropna()
            if objective not in wide or baseline not in wide or wide.empty:
                continue
            td, base = wide[objective], wide[baseline]
            difference = paired_difference(td.to_numpy(), base.to_numpy())
            sides_of += [base.to_numpy(float), td.to_numpy(float)]
            rows.append(
                dict(zip(keys, cell, strict=True))
                | {
                    "objective": objective,
                    "baseline_mean": base.mean(),
                    "baseline_std": base.std(),
                    "td_mean": td.mean(),
                    "td_std": td.std(),
                    "difference": difference.mean,
                    "difference_std": difference.std,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "n": difference.n,
                    "p": difference.p,
                }
            )
    table = pd.DataFrame(rows, columns=[*CELL, *_COMPARED])
    table[list(_BOOTSTRAP)] = bootstrap_intervals(sides_of).reshape(-1, 4)
    return _decided(table).sort_values(
        ["dataset", "formulation", "objective", "metric", "library", "steps"],
        key=in_order(per_run, objective=treated, metric=list(METRICS)),
        ignore_index=True,
    )


def _decided(table: pd.DataFrame) -> pd.DataFrame:
    if table.empty:
        return table.reindex(columns=[*table.columns, *_DECIDED])
    groups = table.groupby(["metric", "library"], sort=False)
    return pd.concat([decide(rows, lower_is_better(str(metric))) for (metric, _), rows in groups])


def in_order(per_run: pd.DataFrame, **orders: list[str]) -> Callable[[pd.Series], pd.Series]:
    """A key to sort by: data sets and formulations as they come in ``per_run``, other columns in the orders given."""
    known = {key: list(per_run[key].unique()) for key in ("dataset", "formulation")} | orders
    places = {key: {name: i for i, name in enumerate(names)} for key, names in known.items()}
    return lambda column: column.map(places[column.name]) if column.name in places else column


def by_first_library(
    table: pd.DataFrame, metric: str, cell: Sequence[str] = ("dataset", "formulation")
) -> pd.DataFrame:
    """The rows of a metric by the first library of each data set and formulation: one is enough to read and count."""
    found = table[table["metric"] == metric]
    return found[found["library"] == found.groupby([*cell], sort=False)["library"].transform("first")]


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
