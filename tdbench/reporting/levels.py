"""Levels of the baseline's curve, and how many passes each objective needs to reach them: the speed-up.

One rule serves both sides: the mean over seeds at each point, made monotone by isotonic regression of the logarithms
(what is reached is not lost again), interpolated linearly between points. A level is reached where that curve first
meets it.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from tdbench.experiment.metrics import label
from tdbench.reporting.cells import NOTHING, Cell, fixed, number
from tdbench.reporting.collect import CURVE
from tdbench.reporting.curves import descending, panels
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import CONFIDENCE

SHARES = (0.5, 0.75, 1.0)
"""Shares of the baseline's budget at which its curve gives the levels."""
LEAST_SEEDS = 5
"""With fewer seeds no interval is given, only the range over seeds."""


class Side(NamedTuple):
    """The curves of an objective."""

    passes: np.ndarray
    """(P,) passes through both networks at the points, rising; means over seeds."""
    values: np.ndarray
    """(S, P) scores; the seeds of both sides are in the same order."""

    def of(self, seeds: np.ndarray) -> "Side":
        """Those of some of the seeds."""
        return Side(self.passes, self.values[seeds])


class SpeedUp(NamedTuple):
    """Passes of an objective until it reaches a level, relative to the baseline's."""

    level: float
    baseline_passes: float
    objective_passes: float
    """NaN if the level is not reached."""
    ratio: float
    """Objective over baseline; below 1 is faster. If the level is not reached: a lower bound."""
    low: float
    """95 % interval from `LEAST_SEEDS` seeds on; with fewer the range over seeds. NaN if it cannot be given."""
    high: float
    reached: bool
    censored: int
    """Seeds, or curves without one seed, that do not reach the level; an interval needs 0."""
    n: int


def smooth(side: Side, metric: str) -> np.ndarray:
    """(P,) the mean curve on the scale of `curves.descending`, made monotone."""
    mean = descending(side.values.mean(axis=0), metric)
    found: np.ndarray = IsotonicRegression(increasing=False).fit_transform(np.log(side.passes), mean)
    return found


def crossing(side: Side, level: float, metric: str) -> float:
    """Passes at which the smooth curve first reaches ``level`` (on its scale); NaN if it does not."""
    curve, x = smooth(side, metric), np.log(side.passes)
    below = np.flatnonzero(curve <= level)
    if not len(below):
        return math.nan
    i = int(below[0])
    if i == 0 or curve[i] == level:
        return float(side.passes[i])
    share = (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    return float(np.exp(x[i - 1] + share * (x[i] - x[i - 1])))


def level_at(baseline: Side, passes: float, metric: str) -> float:
    """The level, on the scale of the smooth curve, that the baseline has after ``passes``."""
    return float(np.interp(np.log(passes), np.log(baseline.passes), smooth(baseline, metric)))


def speed_up(baseline: Side, objective: Side, budget: float, metric: str = "fid") -> SpeedUp:
    """How many passes an objective needs to reach what the baseline has after ``budget`` passes.

    The interval is Student's, of the jackknife's pseudo-values of the logarithm of the ratio: each seed is left out
    once, from both sides.

    Parameters
    ----------
    baseline, objective : Side
        Curves of the same seeds. The baseline's may go on beyond ``budget``.
    """
    n = len(baseline.values)
    level = level_at(baseline, budget, metric)
    ratio, passes = _ratio(baseline, objective, budget, metric)
    reached = not math.isnan(ratio)
    if n >= LEAST_SEEDS:
        chosen = [np.delete(np.arange(n), i) for i in range(n)]
    else:
        chosen = [np.array([i]) for i in range(n)] if n > 1 else []
    ratios = np.array([_ratio(baseline.of(s), objective.of(s), budget, metric)[0] for s in chosen])
    censored = int(np.isnan(ratios).sum())
    low = high = math.nan
    if reached and len(ratios) and not censored:
        low, high = _jackknife(ratio, ratios) if n >= LEAST_SEEDS else (float(ratios.min()), float(ratios.max()))
    if not reached:
        ratio = float(objective.passes[-1]) / passes[0]
    shown = float(_undone(level, baseline, metric))
    return SpeedUp(shown, *passes, ratio, low, high, reached, censored, n)


def _ratio(baseline: Side, objective: Side, budget: float, metric: str) -> tuple[float, tuple[float, float]]:
    level = level_at(baseline, budget, metric)
    passes = (crossing(baseline, level, metric), crossing(objective, level, metric))
    return passes[1] / passes[0], passes


def _jackknife(ratio: float, without: np.ndarray) -> tuple[float, float]:
    """95 % interval of a ratio from those without one seed each."""
    n = len(without)
    pseudo = n * math.log(ratio) - (n - 1) * np.log(without)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * float(pseudo.std(ddof=1)) / math.sqrt(n)
    center = float(pseudo.mean())
    return math.exp(center - half), math.exp(center + half)


def _undone(level: float, side: Side, metric: str) -> float:
    """A level as a score."""
    mean = side.values.mean(axis=0)
    if np.array_equal(descending(mean, metric), mean):
        return level
    return -level if np.array_equal(descending(mean, metric), -mean) else math.exp(level)


def levels_table(found: Findings) -> pd.DataFrame:
    """One row for each level and objective; see `SpeedUp`."""
    plan, baseline = found.plan, found.plan.experiment.baseline
    ends = {
        (run.dataset_name, run.formulation_name): run.last_images
        for run in plan.comparison
        if run.objective_name == baseline
    }
    rows = []
    for cell, curves in panels(found.curve_scores):
        if curves.passes.isna().any():
            continue
        end = ends[str(cell[0]), str(cell[1])]
        for objective, pair in _sides(curves, baseline):
            own = curves[(curves.objective == baseline) & (curves.images == end)]
            for share in SHARES:
                budget = share * float(own.passes.mean())
                row = dict(zip(CURVE, cell, strict=True)) | {"objective": objective, "share": share}
                rows.append(row | speed_up(*pair, budget, str(cell[2]))._asdict())
    return pd.DataFrame(rows, columns=[*CURVE, "objective", "share", *SpeedUp._fields])


def _sides(curves: pd.DataFrame, baseline: str) -> Iterator[tuple[str, tuple[Side, Side]]]:
    """Each objective's curves with those of the baseline, of their common seeds."""
    names = [str(name) for name in curves.objective.unique()]
    wide = {
        name: curves[curves.objective == name].pivot(index="seed", columns="images", values="value").dropna(axis=1)
        for name in names
    }
    passes = curves.groupby(["objective", "images"])["passes"].mean()

    def side(name: str, seeds: pd.Index) -> Side:
        table = wide[name].loc[seeds]
        return Side(passes[name].loc[table.columns].to_numpy(float), table.to_numpy(float))

    for name in names if baseline in wide else []:
        common = wide[name].index.intersection(wide[baseline].index)
        if name != baseline and len(common):
            yield name, (side(baseline, common), side(name, common))


def readable_levels(table: pd.DataFrame) -> pd.DataFrame:
    """Levels and speed-ups, formatted for people."""
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "steps": table.steps,
            "level": [Cell(f"{100 * share:.0f} % of the budget", share) for share in table.share],
            "score": [number(value, 3) for value in table.level],
            "metric": table.metric.map(label),
            "baseline, thousand passes": [number(value / 1e3, 3) for value in table.baseline_passes],
            "objective, thousand passes": [
                number(value / 1e3, 3) if reached else NOTHING
                for value, reached in zip(table.objective_passes, table.reached, strict=True)
            ],
            "passes, × baseline": [_said(row) for row in table.itertuples()],
            "n": table.n,
        }
    )


def _said(row: Any) -> Cell:
    """``0.91 [0.85, 0.98]``; ``> 1.3`` if the level is not reached; words if an interval is missing."""
    ratio, low, high = (float(getattr(row, name)) for name in ("ratio", "low", "high"))
    if not row.reached:
        return Cell(f"> {ratio:.2f}, not reached", ratio)
    n, censored = int(row.n), int(row.censored)
    if not math.isnan(low):
        range_only = " (range)" if n < LEAST_SEEDS else ""
        return Cell(f"{ratio:.2f} [{low:.2f}, {high:.2f}]{range_only}", ratio)
    missed = f" ({censored} of {n} do not reach it)" if censored else ""
    return Cell(f"{fixed(ratio, 2)}{missed}", ratio)
