"""What tables and pages say of themselves, and the answer in a sentence."""

from typing import Any

import pandas as pd

from tdbench.plan import Plan
from tdbench.reporting import tables

COMPARISON_CAPTION = (
    "TD against its baseline, mean ± standard deviation over seeds of the mean over the last snapshots; "
    "differences are paired by seed, with Student's 95 % interval "
    "(not corrected for the number of rows); lower is better."
)
COST_CAPTION = "Cost of training. Runs that share a machine slow each other; memory is the process's."
PUBLISHED_CAPTION = (
    "Published figures beside ours of the same data set, formulation, objective and budget, mean ± standard deviation "
    "over seeds. They compare only where the protocol is the same, the network included."
)
AGREEMENT_CAPTION = "The libraries on the same samples with the same features, all sample sets."


def ablation_caption(plan: Plan, name: str) -> str:
    text = plan.experiment.ablations[name].description or f"Ablation {name}"
    compared = (
        "“Better” and “worse” compare with the baseline, paired by seed, at 95 %."
        if tables.varies_objective_only(plan, name)
        else "The baseline has the base settings, so the cases are not set against it."
    )
    means = "mean ± standard deviation over seeds of the mean over the last snapshots; lower is better"
    return f"{text}: {means}. {compared}"


def summary_sentence(table: pd.DataFrame) -> str:
    """The answer in a sentence: at how many budgets TD is better, worse or undecided, by FID."""
    sentences = []
    for (dataset, formulation, objective), rows in table[table.metric == "fid"].groupby(
        ["dataset", "formulation", "objective"], sort=False
    ):
        rows = rows[rows.library == rows.library.iloc[0]]
        counts = {word: int(rows.verdict.str.startswith(word).sum()) for word in ("better", "worse", "undecided")}
        n = int(rows.n.min())
        parts = [f"{word} at {count} of {len(rows)} step budgets" for word, count in counts.items() if count]
        sentences.append(
            f"On {dataset} with {formulation}, {objective} against its baseline, by FID ({rows.library.iloc[0]}, "
            f"{rows.features.iloc[0]} features, n = {n} seed{'s' if n != 1 else ''}): {', '.join(parts)}. "
            f"Differences with 95 % intervals: {'; '.join(map(_difference, rows.itertuples()))}."
        )
    return " ".join(sentences)


def _difference(row: Any) -> str:
    text = tables.interval(row.difference, row.difference_low, row.difference_high)
    return f"{text} on {tables.number(row.baseline_mean, 3)} at {row.steps} steps"
