"""Scores in the course of training: the curve of each objective, and its difference to the baseline's.

A curve is compared with the baseline's at equal images and at equal passes through the networks. Passes of one curve
lie between points of the other, so the baseline's value there is interpolated, linearly in the logarithms.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from tdbench.experiment.metrics import lower_is_better
from tdbench.reporting.cells import NOTHING, Cell, interval, number, place_columns, spread
from tdbench.reporting.collect import CURVE
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import paired_difference

NEAR = 0.02
"""Share of the passes that counts as equal."""


def panels(curves: pd.DataFrame) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    """The curves that are compared with each other, with the values of `CURVE`."""
    for cell, rows in curves.groupby(CURVE, sort=False):
        yield tuple(cell), rows


def curve_table(found: Findings) -> pd.DataFrame:
    """One row for each point of each objective's curve, with both differences to the baseline."""
    baseline = found.plan.experiment.baseline
    rows = [row for cell, curves in panels(found.curve_scores) for row in _points(cell, curves, baseline)]
    return pd.DataFrame(rows, columns=[*CURVE, "objective", *_POINT])


_POINT = [
    "kimg",
    "passes",
    "seconds",
    "mean",
    "std",
    "n",
    "difference",
    "difference_low",
    "difference_high",
    "at_passes",
    "at_passes_low",
    "at_passes_high",
]


def _points(cell: tuple[object, ...], curves: pd.DataFrame, baseline: str) -> Iterator[dict[str, object]]:
    of_baseline = curves[curves.objective == baseline].sort_values("images")
    base = {seed: of_baseline[of_baseline.seed == seed] for seed in of_baseline.seed.unique().tolist()}
    positive = bool((curves.value > 0).all())
    for objective, mine in curves.groupby("objective", sort=False):
        for kimg, point in mine.groupby("kimg"):
            row = dict(zip(CURVE, cell, strict=True)) | {"objective": objective, "kimg": kimg, "n": len(point)}
            row |= {"passes": point.passes.mean(), "seconds": point.seconds.mean()}
            row |= {"mean": point.value.mean(), "std": point.value.std()}
            if objective != baseline:
                row |= _difference(point, base, "images", "difference", positive)
                row |= _difference(point, base, "passes", "at_passes", positive)
            yield row


def _difference(
    point: pd.DataFrame, base: Mapping[int, pd.DataFrame], axis: str, name: str, positive: bool
) -> dict[str, float]:
    """The paired difference of a point to the baseline at the same value of ``axis``; empty without common seeds."""
    mine, theirs = [], []
    for seed, at, value in zip(point.seed.tolist(), point[axis].tolist(), point.value.tolist(), strict=True):
        curve = base.get(seed)
        other = None if curve is None else value_at(curve[axis], curve.value, at, positive)
        if other is not None:
            mine.append(value)
            theirs.append(other)
    if not mine:
        return {}
    found = paired_difference(np.array(mine), np.array(theirs))
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}


def value_at(points: pd.Series, values: pd.Series, at: float, positive: bool) -> float | None:
    """The value of a curve at ``at``, interpolated in log x, and in log y if ``positive``; None beyond its ends.

    Up to `NEAR` beyond an end it is the value there: expected and counted passes differ by less.
    """
    known = points.notna()
    x, y = points[known].to_numpy(float), values[known].to_numpy(float)
    if not len(x) or not np.isfinite(at) or not x[0] * (1 - NEAR) <= at <= x[-1] * (1 + NEAR):
        return None
    found = float(np.interp(np.log(at), np.log(x), np.log(y) if positive else y))
    return float(np.exp(found)) if positive else found


def readable_curves(table: pd.DataFrame) -> pd.DataFrame:
    """The curves, formatted for people."""
    return pd.DataFrame(
        {
            **place_columns(table),
            "kimg": [number(value, 4) for value in table.kimg],
            "passes, thousands": [_known(value / 1e3) for value in table.passes],
            "training time, s": [_known(value) for value in table.seconds],
            "score": [spread(m, s) for m, s in zip(table["mean"], table["std"], strict=True)],
            "at equal images [95 %]": _intervals(table, "difference"),
            "at equal passes [95 %]": _intervals(table, "at_passes"),
            "n": table.n,
        }
    )


def _known(value: float) -> Cell:
    return NOTHING if pd.isna(value) else number(value, 3)


def _intervals(table: pd.DataFrame, name: str) -> list[Cell]:
    columns = (table[name], table[f"{name}_low"], table[f"{name}_high"])
    return [NOTHING if pd.isna(row[0]) else interval(*row) for row in zip(*columns, strict=True)]


def is_logarithmic(values: np.ndarray, metric: str) -> bool:
    """Whether scores are compared by their logarithms: all positive, and lower is better."""
    return lower_is_better(metric) and bool((np.asarray(values) > 0).all())


def descending(values: np.ndarray, metric: str) -> np.ndarray:
    """Scores on a scale on which lower is better: logarithms where `is_logarithmic`, otherwise the values."""
    if is_logarithmic(values, metric):
        return np.asarray(np.log(values))
    return np.asarray(values, float) * (1 if lower_is_better(metric) else -1)
