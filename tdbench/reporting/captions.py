"""Captions of tables and figures, and the answer in a sentence."""

from typing import Any, NamedTuple

import pandas as pd

from tdbench.experiment.metrics import METRICS, direction, label, leading, lower_is_better
from tdbench.experiment.run import Plan
from tdbench.reporting import tables
from tdbench.reporting.cells import budget, interval, number
from tdbench.reporting.statistics import Change, by_first_library, overall_change


def metric_title(metric: str) -> str:
    """``FID (lower is better)``."""
    return f"{label(metric)} ({'lower' if lower_is_better(metric) else 'higher'} is better)"


COMPARISON_CAPTION = (
    "TD and its baseline: mean ± standard deviation over seeds. A run's score is its mean over the last snapshots; "
    f"{direction(list(METRICS))}. Differences are paired by seed, with Student's 95 % interval. Some of many intervals "
    "exclude zero by chance, so p and verdict are corrected for the number of rows of the same metric and library "
    "(Benjamini and Hochberg): at most 5 % of all “better” and “worse” are expected to be false. “Seeds to decide” "
    "estimates how many seeds would decide an undecided row in 80 % of cases, if difference and spread are as measured."
)
FINAL_CAPTION = (
    "The same comparison by the last snapshot only. A single snapshot varies more than the mean over the last "
    "snapshots, from which the verdicts about TD come."
)
NEAREST_CAPTION = (
    "Are samples copies of the data? The share of samples (last snapshot, largest budget) that lie near an image of "
    "the data, by the features of the scores. “Near”: within the distance at which 1 % of the images have another "
    "image. About 1 % is normal; a network that repeats its training images has much more. “Nearest of all” is the "
    "smallest distance in units of “near”: 0 is a copy. Mean ± standard deviation over seeds."
)
CONSISTENCY_CAPTION = (
    "Cross-time consistency of the last snapshot: what TD training reduces. It does not measure image quality. "
    "Residual: w‖δ‖² of the averaged network with itself as target, on images of the data, mean over the times of the "
    "grid, with the paper's settings of the formulation for all runs. Moves: squared changes of the estimate D between "
    "evaluations of the sampler, summed over the path. Mean ± standard deviation over seeds; paired by seed and "
    "corrected like the scores."
)
COST_CAPTION = (
    "Cost of training. Runs that share a machine slow each other. Memory is the GPU's peak during training; on a CPU "
    "it is the memory that the process holds at the end, which may include memory of other runs in the same process."
)
COST_QUALITY_CAPTION = (
    "Cost against quality: scores, training time and memory of TD as multiples of its baseline's, one row for each "
    "step budget, with the interval of the paired difference. Below 1: less time, less memory, and a better score "
    f"({direction(list(METRICS))})."
)
PUBLISHED_CAPTION = (
    "Published figures beside ours for the same data set, formulation, objective and budget; mean ± standard deviation "
    "over seeds. “Reproduced”: the published figure lies in our 95 % prediction interval for one more training, and "
    "that interval is no wider than ±5 % of the figure. “Not reproduced”: it lies outside. Figures are comparable only "
    "under the same protocol: features and resize, number of images, snapshots, and network and learning rate where "
    "they are known. “Resize” is the published figure's resize before Inception. Where a network is only described in "
    "words, judge for yourself."
)
AGREEMENT_CAPTION = "Both libraries on the same samples with the same features, over all sample sets."


def ablation_caption(plan: Plan, name: str) -> str:
    text = " ".join(plan.experiment.ablations[name].description.split()) or f"Ablation {name}"
    compared = (
        "“Better” and “worse” compare with the baseline, paired by seed and corrected for the number of comparisons in "
        "this table: at most 5 % of them are expected to be false."
        if tables.varies_objective_only(plan, name)
        else "The baseline has the base settings, so there is no comparison with it."
    )
    means = (
        "mean ± standard deviation over seeds; a run's score is its mean over the last snapshots; "
        f"{direction(list(METRICS))}"
    )
    return f"{text}: {means}. {compared}"


class Answer(NamedTuple):
    """The answer for a data set, formulation and objective, and all its differences."""

    text: str
    differences: str


def summary(plan: Plan, table: pd.DataFrame, per_run: pd.DataFrame) -> tuple[str, list[Answer]]:
    """The answer by the `leading` metric: one overall sentence, and one per data set, formulation and objective.

    Parameters
    ----------
    table : DataFrame
        Result of `tables.comparison_table` for ``per_run``.

    Returns
    -------
    (str, list of Answer)
        The overall change of the metric by TD, with its interval over seeds, and how often TD is better, worse or
        undecided; then the same for each, with every difference and its interval.
    """
    metric = leading(table.metric)
    fid = by_first_library(table, metric)
    if fid.empty:
        return "No objective has scores to compare with the baseline's.", []
    low, high = int(fid.n.min()), int(fid.n.max())
    seeds = f"n = {low} seed{'s' if low != 1 else ''}" if low == high else f"n = {low} to {high} seeds"
    change = overall_change(per_run, fid, plan.experiment.baseline)
    name, better = label(metric), "lower" if lower_is_better(metric) else "higher"
    overall = "" if change is None else f"changes the {name} of its baseline by {_percent(change)} on average and "
    headline = (
        f"TD {overall}is {_counts(fid)} of {len(fid)} comparisons ({name} by {', '.join(fid.library.unique())} on "
        f"{fid.features.iloc[0]} features, {better} is better; {seeds}; verdicts corrected for their number)."
    )
    lines = []
    for (dataset, formulation, objective), rows in fid.groupby(["dataset", "formulation", "objective"], sort=False):
        differences = "; ".join(map(_difference, rows.itertuples()))
        change = overall_change(per_run, rows, plan.experiment.baseline)
        overall = "" if change is None else f"{_percent(change)} on average, "
        cell = f"{dataset}, {formulation}, {objective}"
        counts = f"{_counts(rows)} of {len(rows)} step budget{'s' if len(rows) != 1 else ''}"
        lines.append(Answer(f"{cell}: {overall}{counts}.", f"{cell}: {differences}."))
    return headline, lines


def _percent(change: Change) -> str:
    """``+31 % [+22 %, +40 %]``; without a spread (one seed) the mean alone."""
    values = [value for value in change[:3] if not pd.isna(value)]
    texts = [f"{'+' if value >= 0 else ''}{number(value, 2)} %" for value in values]
    return texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _counts(rows: pd.DataFrame) -> str:
    """``better in 2, worse in 1 and undecided in 3``."""
    counts = {word: int(rows.verdict.str.startswith(word).sum()) for word in ("better", "worse", "undecided")}
    parts = [f"{word} in {count}" for word, count in counts.items() if count]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _difference(row: Any) -> str:
    text = interval(row.difference, row.difference_low, row.difference_high)
    return f"{text} on {number(row.baseline_mean, 3)} at {budget(row.steps)}"
