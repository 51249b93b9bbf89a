"""Alternative texts of pictures, with the numbers that they show."""

import pandas as pd

from tdbench.experiment.metrics import label as name_of
from tdbench.experiment.metrics import leading
from tdbench.experiment.plan import Plan
from tdbench.reporting.cells import budget, number, spread
from tdbench.reporting.collect import labels_of_ablation
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import summarise
from tdbench.reporting.tables import objectives


def comparison(found: Findings) -> str:
    """Alternative text of the comparison against NFE."""
    return describe_scores(found.per_run("comparison"), objectives(found.plan))


def curves(found: Findings, dataset: str, formulation: str) -> str:
    """Alternative text of scores in the course of training."""
    table = found.table("curves").numbers
    return describe_score_curves(table[(table.dataset == dataset) & (table.formulation == formulation)])


def costs(found: Findings) -> str:
    """Alternative text of cost against quality."""
    return describe_costs(found.table("cost-against-quality").numbers)


def consistency(found: Findings) -> str:
    """Alternative text of the cross-time residuals."""
    return describe_residuals(found.consistency, objectives(found.plan))


def training(found: Findings, dataset: str, formulation: str) -> str:
    """Alternative text of training curves."""
    return describe_curves(found.runs("comparison"), dataset, formulation, objectives(found.plan))


def samples(found: Findings, dataset: str, formulation: str) -> str:
    """Alternative text of grids of samples."""
    return describe_samples(found.plan, found.per_run("comparison"), dataset, formulation, objectives(found.plan))


def nearest(found: Findings, dataset: str, formulation: str) -> str:
    """Alternative text of samples and their nearest images."""
    return describe_nearest(found.nearest, dataset, formulation)


def ablation(found: Findings, name: str) -> str:
    """Alternative text of an ablation against NFE."""
    return describe_scores(found.cases(name), labels_of_ablation(found.plan, name))


def describe_scores(per_run: pd.DataFrame, labels: list[str]) -> str:
    """The means of a figure of scores against NFE: ``digits, edm: baseline 41.7 at 7 NFE, ...; td 37.7 at 7 NFE``."""
    metric = leading(per_run.metric)
    shown = per_run[(per_run.metric == metric) & per_run.objective.isin(labels)]
    means = summarise(_first_library(shown))
    cells = []
    for pair, cell in means.groupby(["dataset", "formulation"], sort=False):
        sides = []
        for label in labels:
            rows = cell[cell.objective == label].sort_values("nfe")
            points = ", ".join(f"{number(mean, 3)} at {nfe}" for mean, nfe in zip(rows["mean"], rows.nfe, strict=True))
            if points:
                sides.append(f"{label} {points}")
        cells.append(f"{', '.join(map(str, pair))}: {'; '.join(sides)}")
    return f"{name_of(metric)} by NFE, means over seeds. {'. '.join(cells)}."


def describe_score_curves(rows: pd.DataFrame) -> str:
    """Begin, middle and end of each curve: ``at 9 steps baseline 120 at 0.6, 31 at 9.9, 16 at 25.6 kimg; ...``."""
    if rows.empty:
        return "No curves were scored."
    parts = []
    for (steps, objective), mine in rows.astype({"steps": int}).groupby(["steps", "objective"], sort=False):
        ordered = mine.sort_values("kimg")
        chosen = ordered.iloc[sorted({0, len(ordered) // 2, len(ordered) - 1})]
        points = ", ".join(
            f"{number(mean, 3)} at {number(kimg, 3)}" for mean, kimg in zip(chosen["mean"], chosen.kimg, strict=True)
        )
        parts.append(f"at {budget(int(str(steps)))} {objective} {points} kimg")
    metric = name_of(str(rows.metric.iloc[0]))
    return f"{metric} in the course of training, means over seeds, {'; '.join(parts)}."


def describe_costs(costs: pd.DataFrame) -> str:
    """The costs and the range of scores in a figure of cost against quality."""
    metric = leading(costs.metric)
    shown = _first_library(costs[costs.metric == metric])
    parts = []
    for names, rows in shown.groupby(["dataset", "formulation", "objective"], sort=False):
        low, high = number(rows.quality.min(), 3), number(rows.quality.max(), 3)
        quality = low if low == high else f"{low} to {high}"
        time, memory = (number(rows[column].iloc[0], 3) for column in ("time_ratio", "memory_ratio"))
        parts.append(
            f"{', '.join(map(str, names))}: {name_of(metric)} {quality} times, training time {time} times, "
            f"memory {memory} times"
        )
    return f"As multiples of the baseline's. {'. '.join(parts)}."


def describe_residuals(consistency: pd.DataFrame, objectives: list[str]) -> str:
    """The mean residuals of a figure of cross-time consistency."""
    shown = consistency[consistency.metric == "residual"]
    cells = []
    for pair, cell in shown.groupby(["dataset", "formulation"], sort=False):
        means = ((name, cell[cell.objective == name].value) for name in objectives)
        sides = [f"{name} {spread(values.mean(), values.std())}" for name, values in means if len(values)]
        cells.append(f"{', '.join(map(str, pair))}: {'; '.join(sides)}")
    return f"Cross-time residual by time of the grid; means over times and seeds. {'. '.join(cells)}."


def describe_nearest(nearest: pd.DataFrame, dataset: str, formulation: str) -> str:
    """The share of samples near an image, for pictures of samples and their nearest images."""
    shown = nearest[(nearest.dataset == dataset) & (nearest.formulation == formulation)]
    shares = [f"{name} {number(100 * share, 2)} %" for name, share in zip(shown.objective, shown.share, strict=True)]
    return (
        f"The samples of {dataset}, {formulation} that come nearest to an image of the data, above that image. Share "
        f"of samples near an image of the data: {'; '.join(shares)}."
    )


def describe_curves(runs: pd.DataFrame, dataset: str, formulation: str, objectives: list[str]) -> str:
    """The last losses of a figure of training curves."""
    shown = runs[(runs.dataset == dataset) & (runs.formulation == formulation)]
    parts = []
    for objective in objectives:
        loss = shown[shown.objective == objective].loss
        parts.append(f"{objective} {spread(loss.mean(), loss.std())}")
    return (
        f"Loss, base loss, TD loss and gradient norm of {dataset}, {formulation} against images shown. "
        f"The minimised loss ends at {'; '.join(parts)} (each objective minimises a different loss)."
    )


def describe_samples(plan: Plan, per_run: pd.DataFrame, dataset: str, formulation: str, objectives: list[str]) -> str:
    """The content of a figure of sample grids, with the score at each step budget."""
    metric = leading(per_run.metric)
    fid = per_run[(per_run.metric == metric) & (per_run.seed == plan.experiment.seeds[0])]
    fid = _first_library(fid[(fid.dataset == dataset) & (fid.formulation == formulation)])
    rows = []
    for objective in objectives:
        found = fid[fid.objective == objective].sort_values("steps")
        scores = ", ".join(f"{number(v, 3)} at {budget(s)}" for v, s in zip(found.value, found.steps, strict=True))
        rows.append(f"{objective}: {name_of(metric)} {scores}")
    return (
        f"Grids of 49 samples of {dataset}, {formulation}, seed {plan.experiment.seeds[0]}, one row for each "
        f"objective, one column for each step budget. {'. '.join(rows)}."
    )


def _first_library(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores by the first library of each data set and formulation, which figures show."""
    return scores[scores.library == scores.groupby(["dataset", "formulation"])["library"].transform("first")]
