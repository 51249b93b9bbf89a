"""What limits a verdict: trainings that still learn, and scores that a perfect sampler would have too."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tdbench.experiment.run import FLOORED
from tdbench.records.floor import Floor
from tdbench.reporting.cells import NOTHING, Cell, number
from tdbench.reporting.collect import BASELINE
from tdbench.reporting.findings import Findings
from tdbench.reporting.learning import FLATTENED, States

STILL_LEARNING, WORSE_SO_FAR, SATURATED = "undecided: still learning", "worse so far", "undecided: saturated"
MOST_TIMES_SAMPLES = 100
"""If more than so many times the samples were needed, another metric is advised."""
_DECIDED = ("better", "worse", "undecided")


def limited(verdict: str, saturated: bool, learning: bool) -> str:
    """A verdict with what limits it.

    Parameters
    ----------
    saturated : bool
        Whether both scores could be those of perfect samplers.
    learning : bool
        Whether a training has not been shown to have flattened. "Better" is never said of such a training.
    """
    if verdict not in _DECIDED:
        return verdict
    if saturated:
        return SATURATED
    if learning:
        return WORSE_SO_FAR if verdict == "worse" else STILL_LEARNING
    return verdict


class Side(NamedTuple):
    """One side of every row of a table."""

    objectives: list[str]
    """Name of the objective in `learning.learning_table`."""
    means: pd.Series


def with_limits(found: Findings, table: pd.DataFrame, baseline: Side, objective: Side) -> pd.DataFrame:
    """Add floor and state of the trainings to the rows of a comparison, and limit their verdicts.

    Returns
    -------
    DataFrame
        With ``floor`` and ``floor_highest`` (`Floor`; NaN for other metrics), ``saturated`` (which sides are),
        ``baseline_training`` and ``objective_training`` (`learning`; empty without curves).
    """
    known = States(found.table("learning").numbers)
    floors = [_floor(found, row) for row in table.itertuples()]
    highest = np.array([np.nan if floor is None else floor.highest for floor in floors])
    at_floor = [(side.means <= highest).tolist() for side in (baseline, objective)]
    trainings = [_trainings(known, table, side.objectives) for side in (baseline, objective)]
    names = ("baseline", "objective")
    saturated = [
        "both" if all(row) else next((n for n, s in zip(names, row, strict=True) if s), "")
        for row in zip(*at_floor, strict=True)
    ]
    learning = [any(state not in ("", FLATTENED) for state in row) for row in zip(*trainings, strict=True)]
    verdicts = [
        limited(verdict, which == "both", unsettled) if isinstance(verdict, str) else verdict
        for verdict, which, unsettled in zip(table.verdict, saturated, learning, strict=True)
    ]
    return table.assign(
        floor=[np.nan if floor is None else floor.mean for floor in floors],
        floor_highest=highest,
        saturated=saturated,
        baseline_training=trainings[0],
        objective_training=trainings[1],
        verdict=pd.Series(verdicts, index=table.index, dtype=object),
    )


def _floor(found: Findings, row: Any) -> Floor | None:
    if row.metric != FLOORED:
        return None
    dataset, formulation = str(row.dataset), str(row.formulation)
    return found.floors.get((dataset, str(row.library), found.samples(dataset, formulation)))


def _trainings(known: States, table: pd.DataFrame, objectives: Iterable[str]) -> list[str]:
    steps = table.steps if "steps" in table else [0] * len(table)
    cells = zip(table.dataset, table.formulation, objectives, steps, strict=True)
    return [known.of((str(d), str(f), str(o)), int(s)) for d, f, o, s in cells]


def limit_comparison(found: Findings, table: pd.DataFrame, equal_passes: bool = False) -> pd.DataFrame:
    """The limits of a comparison of objectives with the baseline, at equal images or at equal passes."""
    names = found.plan.baselines_at_equal_passes if equal_passes else {}
    cells = zip(table.dataset, table.formulation, table.objective, strict=True)
    baselines = [names.get(cell, found.plan.experiment.baseline) for cell in cells]
    # A longer baseline that was trained by itself has no curve; the shorter one tells whether the recipe still learns.
    known = States(found.table("learning").numbers)
    with_curve = [
        name if (d, f, name) in known else found.plan.experiment.baseline
        for d, f, name in zip(table.dataset, table.formulation, baselines, strict=True)
    ]
    base, objective = Side(with_curve, table.baseline_mean), Side(table.objective.tolist(), table.td_mean)
    return with_limits(found, table, base, objective)


def limit_ablation(found: Findings, table: pd.DataFrame) -> pd.DataFrame:
    """The limits of an ablation. Its cases have no curves; their trainings are taken to be as the baseline's."""
    keys = [key for key in ("dataset", "formulation", "metric", "library", "steps") if key in table]
    case = "case" if "case" in table else "objective"
    means = "mean" if "mean" in table else "td_mean"
    if "baseline_mean" in table:
        base = table.baseline_mean
    else:
        of = table[table[case] == BASELINE].set_index(keys)[means]
        base = pd.Series([of.get(cell, np.nan) for cell in table[keys].itertuples(index=False, name=None)], table.index)
    names = [found.plan.experiment.baseline] * len(table)
    return with_limits(found, table, Side(names, base), Side(names, table[means]))


def floor_table(found: Findings) -> pd.DataFrame:
    """One row for each data set, library and number of samples: what perfect samplers score."""
    rows = []
    for (dataset, library, samples), floor in found.floors.items():
        data = floor.data
        rows.append(
            {
                "dataset": dataset,
                "features": found.plan.experiment.evaluation.features,
                "library": library,
                "samples": samples,
                "images": floor.images,
                "normal_mean": floor.normal.mean,
                "normal_std": floor.normal.std,
                "data_mean": np.nan if data is None else data.mean,
                "data_std": np.nan if data is None else data.std,
                "draws": floor.normal.draws,
                "highest": floor.highest,
            }
        )
    names = ["dataset", "features", "library", "samples", "images", "normal_mean", "normal_std", "data_mean"]
    return pd.DataFrame(rows, columns=[*names, "data_std", "draws", "highest"])


def readable_floor(table: pd.DataFrame) -> pd.DataFrame:
    """The floors, formatted for people."""

    def said(mean: float, std: float) -> Cell:
        return NOTHING if np.isnan(mean) else Cell(f"{number(mean, 3)} ± {number(std, 2)}", mean)

    return pd.DataFrame(
        {
            "data": table.dataset,
            "features": table.features,
            "library": table.library,
            "samples": table.samples,
            "images of the reference": table.images,
            "normal distribution": [said(*row) for row in zip(table.normal_mean, table.normal_std, strict=True)],
            "the data's own images": [said(*row) for row in zip(table.data_mean, table.data_std, strict=True)],
            "saturated up to": [number(value, 3) for value in table.highest],
        }
    )


def enough_samples(score: float, floor: Floor) -> int | None:
    """With how many samples a score would no longer be saturated; None if no number would help.

    The floor and its spread fall as 1/N, and so does the part of the score that comes from N.
    """
    excess = score - floor.mean
    if excess <= 0:
        return None
    needed = floor.samples * (floor.highest - floor.mean) / excess
    return int(np.ceil(needed)) if needed <= MOST_TIMES_SAMPLES * floor.samples else None


def saturation_advice(found: Findings, table: pd.DataFrame) -> list[str]:
    """A line for each data set with saturated scores: which number of samples or which metric would tell more."""
    lines = []
    rows = table[table.saturated == "both"] if "saturated" in table else table[:0]
    for dataset, group in rows.groupby("dataset", sort=False):
        lower = group[["baseline_mean", "td_mean"]].min(axis=1).tolist()
        floors = [_floor(found, row) for row in group.itertuples()]
        pairs = zip(lower, floors, strict=True)
        needed = [enough_samples(score, floor) for score, floor in pairs if floor is not None]
        known = [count for count in needed if count is not None]
        others = [name for name in ("KID", "FID∞") if _has(found, name)]
        metric = f"judge by {' or '.join(others)}, which have no floor" if others else "add kid to evaluation.metrics"
        more = (
            f"about {max(known):,} samples would tell {len(known)} of them apart from perfect ones; " if known else ""
        )
        lines.append(
            f"{dataset}: {len(group)} comparisons are saturated: both scores could be those of perfect samplers with "
            f"so few samples. {more}otherwise {metric}."
        )
    return lines


def _has(found: Findings, name: str) -> bool:
    return {"KID": "kid", "FID∞": "fid-infinity"}[name] in found.plan.experiment.evaluation.metrics
