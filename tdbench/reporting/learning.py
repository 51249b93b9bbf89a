"""Whether a training has flattened, by its own curve: would twice its length still improve the score?

Short trainings compare how fast objectives learn, and not what they reach. So no objective is called better on the
basis of a training that still learns.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tdbench.reporting.cells import NOTHING, Cell
from tdbench.reporting.collect import CURVE
from tdbench.reporting.curves import descending, is_logarithmic, panels
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import CONFIDENCE

FLAT = 0.10
"""A training has flattened if twice its length improves its score by less than this share."""
LEAST_POINTS = 4
FLATTENED, LEARNING, UNKNOWN = "flattened", "still learning", "not shown to have flattened"
_ORDER = [FLATTENED, UNKNOWN, LEARNING]


class Flattening(NamedTuple):
    """What twice the length would improve, as a share of the score, with one-sided 95 % bounds."""

    improvement: float
    low: float
    high: float

    @property
    def status(self) -> str:
        """`FLATTENED` or `LEARNING` if the bounds say so, otherwise `UNKNOWN`."""
        if self.high < FLAT:
            return FLATTENED
        return LEARNING if self.low >= FLAT else UNKNOWN


def flattening(images: np.ndarray, values: np.ndarray, metric: str = "fid") -> Flattening | None:
    """Extrapolate curves from the last third of their points.

    The score is fitted by a power of the images shown, with the same exponent for all seeds and a factor for each. The
    fit continues to twice the length. A score that falls towards a constant falls more slowly than this, so the rule
    errs towards "still learning". Extrapolation tells nothing of what only begins later.

    Parameters
    ----------
    images : np.ndarray
        (P,) images shown at the points, rising.
    values : np.ndarray
        (S, P) scores of S seeds.

    Returns
    -------
    Flattening or None
        None with fewer than 4 points.
    """
    points = max(LEAST_POINTS, math.ceil(len(images) / 3))
    if len(images) < LEAST_POINTS:
        return None
    last = values[:, -points:]
    # Least squares with a common slope: doublings of the length, and scores, each about its mean.
    y = descending(last, metric)
    y = y - y.mean(axis=1, keepdims=True)
    x = np.log2(images[-points:])
    x = np.broadcast_to(x - x.mean(), y.shape)
    squares = float((x**2).sum())
    slope = float((x * y).sum()) / squares
    freedom = y.size - len(y) - 1
    variance = float(((y - slope * x) ** 2).sum()) / freedom
    half = float(stats.t.ppf(CONFIDENCE, freedom)) * math.sqrt(variance / squares)
    scale = abs(float(last[:, -1].mean()))

    def share(change: float) -> float:
        """The improvement by a change of the score, or of its logarithm."""
        if is_logarithmic(last, metric):
            return 1 - math.exp(change)
        return -change / scale if scale else math.nan

    return Flattening(share(slope), share(slope + half), share(slope - half))


def learning_table(found: Findings) -> pd.DataFrame:
    """One row for each curve: what twice the length would improve, and whether the training has flattened.

    The longer baselines have a row each, by their own names.
    """
    rows = []
    plan, baseline = found.plan, found.plan.experiment.baseline
    ends = {(run.dataset_name, run.formulation_name, run.objective_name): run.last_images for run in plan.comparison}
    longer = {(run.dataset_name, run.formulation_name, run.objective_name): run for run in plan.longer}
    for cell, curves in panels(found.curve_scores):
        place = (str(cell[0]), str(cell[1]))
        names = list(curves.objective.unique())
        names += [name for (*pair, name), run in longer.items() if tuple(pair) == place and run.trained_as is not None]
        for name in names:
            end = ends.get((*place, name)) or longer[*place, name].last_images
            of = name if name in set(curves.objective) else baseline
            wide = curves[(curves.objective == of) & (curves.images <= end)].pivot(
                index="seed", columns="images", values="value"
            )
            wide = wide.dropna(axis=1)
            result = flattening(wide.columns.to_numpy(float), wide.to_numpy(float), str(cell[2]))
            if result is not None:
                row = dict(zip(CURVE, cell, strict=True)) | {"objective": name, "kimg": end / 1000, "n": len(wide)}
                rows.append(row | result._asdict() | {"status": result.status})
    return pd.DataFrame(rows, columns=[*CURVE, "objective", "kimg", "n", *Flattening._fields, "status"])


def readable_learning(table: pd.DataFrame) -> pd.DataFrame:
    """Which trainings have flattened, formatted for people."""
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "steps": table.steps,
            "length, kimg": table.kimg,
            "twice the length improves by": [
                _percents(*row) for row in zip(table.improvement, table.low, table.high, strict=True)
            ],
            "n": table.n,
            "the training": table.status,
        }
    )


def _percents(value: float, low: float, high: float) -> Cell:
    if math.isnan(value):
        return NOTHING
    return Cell(f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]", value)


class States:
    """Whether the trainings of an experiment have flattened, from the rows of `learning_table`."""

    def __init__(self, table: pd.DataFrame) -> None:
        self._of: dict[tuple[str, str, str], dict[int, str]] = {}
        for row in table.itertuples():
            place = (str(row.dataset), str(row.formulation), str(row.objective))
            found, steps = self._of.setdefault(place, {}), int(str(row.steps))
            # Several libraries may have scored the curve.
            found[steps] = max(found.get(steps, FLATTENED), str(row.status), key=_ORDER.index)

    def __contains__(self, place: tuple[str, str, str]) -> bool:
        return place in self._of

    def of(self, place: tuple[str, str, str], steps: int) -> str:
        """By the curve of a step budget, or without one by the curve that has flattened least; empty without curves.

        Parameters
        ----------
        place : tuple
            Data set, formulation and objective.
        """
        found = self._of.get(place, {})
        return found.get(steps) or max(found.values(), key=_ORDER.index, default="")
