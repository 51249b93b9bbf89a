"""Cost against quality: training time, memory and scores, each relative to the baseline's."""

import pandas as pd

from tdbench.experiment.metrics import label
from tdbench.experiment.run import Plan
from tdbench.reporting.cells import Cell, fixed, interval
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


def readable_cost_against_quality(table: pd.DataFrame) -> pd.DataFrame:
    """Cost against quality, formatted for people."""
    columns = {
        "data": table.dataset,
        "formulation": table.formulation,
        "objective": table.objective,
        "metric": table.metric.map(label),
        "library": table.library,
        "steps": table.steps,
        "NFE": table.nfe,
        "score, × baseline [95 %]": [
            Cell(str(interval(*row)).replace("+", ""), row[0])
            for row in zip(table.quality, table.quality_low, table.quality_high, strict=True)
        ],
    }
    columns |= {title: [fixed(value, 2) for value in table[column]] for column, title in COSTS.items()}
    return pd.DataFrame(columns | {"n": table.n, "verdict": verdicts(table)})
