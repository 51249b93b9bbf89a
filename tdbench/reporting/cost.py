"""Cost of training, alone and against quality, relative to the baseline's."""

from typing import Any

import pandas as pd

from tdbench.experiment.plan import Plan
from tdbench.reporting.cells import NOTHING, Cell, fixed, interval, place_columns, spread
from tdbench.reporting.findings import Findings
from tdbench.reporting.tables import baseline_name, verdicts

LEAST_SHOWN = 0.01
"""Lower end on a logarithmic axis of intervals that reach zero or below."""
COSTS = {"time_ratio": "training time, × baseline", "memory_ratio": "memory, × baseline"}
_CELL = ["dataset", "formulation", "objective"]


def cost_against_quality(plan: Plan, comparison: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Scores and costs of each objective as multiples of its baseline's.

    Parameters
    ----------
    comparison : DataFrame
        Result of `tables.comparison_table`.
    runs : DataFrame
        Result of `collect.collect_runs`.

    Returns
    -------
    DataFrame
        The rows of the comparison with ``quality``, the objective's mean score over the baseline's, its 95 % interval
        ``quality_low`` to ``quality_high`` (the paired difference's, over the baseline's mean), and ``time_ratio``
        and ``memory_ratio``, ratios of the means over seeds. A metric with a mean that is not positive, as KID may
        have, is left out completely, because it has no ratio.
    """
    positive = (comparison[["baseline_mean", "td_mean"]] > 0).all(axis=1).groupby(comparison.metric).transform("all")
    table = comparison[positive.to_numpy(dtype=bool)]
    base = table.baseline_mean
    table = table.assign(
        quality=1 + table.difference / base,
        quality_low=1 + table.difference_low / base,
        quality_high=1 + table.difference_high / base,
    )
    means = runs.groupby(_CELL)[["training_seconds", "memory_mb"]].mean()
    treated = means.loc[list(table[_CELL].itertuples(index=False, name=None))].to_numpy()
    baseline = baseline_name(plan)
    pairs = zip(table.dataset, table.formulation, strict=True)
    ratios = treated / means.loc[[(*pair, baseline) for pair in pairs]].to_numpy()
    return table.assign(time_ratio=ratios[:, 0], memory_ratio=ratios[:, 1]).reset_index(drop=True)


def cost_of_quality(found: Findings) -> pd.DataFrame:
    """Cost against quality of the comparison."""
    return cost_against_quality(found.plan, found.table("comparison").numbers, found.runs("comparison"))


def cost(found: Findings) -> pd.DataFrame:
    """The cost of training."""
    return cost_table(found.plan, found.runs("comparison"))


def cost_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """Training cost of each objective of the comparison, relative to the baseline."""
    baseline = baseline_name(plan)
    keys = ["dataset", "formulation", "objective"]
    grouped = runs[runs.objective.isin(plan.experiment.objectives)].groupby(keys, sort=False)
    table = grouped.agg(
        seconds=("training_seconds", "mean"),
        std=("training_seconds", "std"),
        memory=("memory_mb", "mean"),
        network=("network_calls", "max"),
        target=("target_calls", "max"),
        network_passes=("network_passes", "mean"),
        target_passes=("target_passes", "mean"),
        kimg=("kimg", "mean"),
        n=("seed", "count"),
    ).reset_index()
    base = table[table.objective == baseline].set_index(["dataset", "formulation"])
    lookup = [base.loc[(d, f)] for d, f in zip(table.dataset, table.formulation, strict=True)]
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "forward passes a step": [
                Cell(f"{n} + {t} of the target", n + t) for n, t in zip(table.network, table.target, strict=True)
            ],
            "passes an image": [_passes_an_image(row) for row in table.itertuples()],
            "passes, × baseline": [
                _ratio(_passes(row), _passes(b)) for row, b in zip(table.itertuples(), lookup, strict=True)
            ],
            "training time, s": [spread(m, s) for m, s in zip(table.seconds, table["std"], strict=True)],
            "time, × baseline": [fixed(s / b.seconds, 2) for s, b in zip(table.seconds, lookup, strict=True)],
            "memory, MB": table.memory.round().astype(int),
            "memory, × baseline": [fixed(m / b.memory, 2) for m, b in zip(table.memory, lookup, strict=True)],
            "n": table.n,
        }
    )


def _passes(row: Any) -> float:
    return float(row.network_passes) + float(row.target_passes)


def _ratio(value: float, base: float) -> Cell:
    return NOTHING if pd.isna(value / base) else fixed(value / base, 2)


def _passes_an_image(row: Any) -> Cell:
    """``3 + 0.94 of the target``; a dash if they were not counted."""
    network, target = (float(count) / (1000 * row.kimg) for count in (row.network_passes, row.target_passes))
    if pd.isna(network + target):
        return NOTHING
    return Cell(f"{network:.3g}" + (f" + {target:.3g} of the target" if target else ""), network + target)


def readable_cost_against_quality(table: pd.DataFrame) -> pd.DataFrame:
    """Cost against quality, formatted for people."""
    columns = {
        **place_columns(table),
        "NFE": table.nfe,
        "score, × baseline [95 %]": [
            Cell(str(interval(*row)).replace("+", ""), row[0])
            for row in zip(table.quality, table.quality_low, table.quality_high, strict=True)
        ],
    }
    columns |= {title: [fixed(value, 2) for value in table[column]] for column, title in COSTS.items()}
    return pd.DataFrame(columns | {"n": table.n, "verdict": verdicts(table)})
