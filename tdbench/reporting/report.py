"""The parts of a report: the comparison, the ablations, and the page that shows all."""

from pathlib import Path
from typing import Any

import pandas as pd

from tdbench.experiment import Plan
from tdbench.files import atomic_path
from tdbench.layout import ReportLayout
from tdbench.reporting import collect, figures, tables
from tdbench.reporting.html import write_html
from tdbench.reporting.statistics import agreement

COMPARISON_CAPTION = (
    "TD against its baseline, mean ± standard deviation over seeds of the mean over the last snapshots; "
    "differences are paired by seed, with Student's 95 % interval "
    "(not corrected for the number of rows); lower is better."
)


def ablation_caption(plan: Plan, name: str) -> str:
    text = plan.experiment.ablations[name].description or f"Ablation {name}"
    compared = (
        "“Better” and “worse” compare with the baseline, paired by seed, at 95 %."
        if tables.varies_objective_only(plan, name)
        else "The baseline has the base settings, so the cases are not set against it."
    )
    means = "mean ± standard deviation over seeds of the mean over the last snapshots; lower is better"
    return f"{text}: {means}. {compared}"


def write_comparison(plan: Plan, results: Path) -> None:
    """Tables and figures that set TD beside its baseline."""
    layout, runs = ReportLayout(results, plan.experiment.name), collect.runs_of(plan, "comparison")
    per_run = collect.mean_over_snapshots(collect.collect_scores(runs, results))
    table = tables.comparison_table(plan, per_run)
    tables.write_table(layout.table("comparison"), table, tables.readable_comparison(table), COMPARISON_CAPTION)
    facts = collect.collect_runs(runs, results)
    cost = tables.cost_table(plan, facts)
    tables.write_table(layout.table("cost"), cost, cost, "Cost of training; runs that share a machine slow each other.")
    baseline = tables.baseline_name(plan)
    labels = {baseline: baseline} | {name: name for name in plan.experiment.objectives}
    title = f"{plan.experiment.name}: FID against NFE (lower is better)"
    figures.save_figure(figures.fid_against_nfe(per_run, labels, title), layout.figure("fid-against-nfe"))
    curves = collect.collect_curves(runs, results)
    for (dataset, formulation), group in curves.groupby(["dataset", "formulation"], sort=False):
        name = f"{dataset}-{formulation}"
        figures.save_figure(figures.training_curves(group, f"Training, {name}"), layout.figure(f"training-{name}"))
        grids = figures.sample_grids(plan, results, str(dataset), str(formulation))
        figures.save_figure(grids, layout.figure(f"samples-{name}"))


def write_ablations(plan: Plan, results: Path) -> None:
    """A table and a figure for each ablation."""
    layout = ReportLayout(results, plan.experiment.name)
    scores = collect.collect_scores(collect.runs_of(plan, "ablations"), results)
    per_run = collect.mean_over_snapshots(scores)
    for name, cases in plan.ablations.items():
        table = tables.ablation_table(plan, name, per_run)
        tables.write_table(
            layout.table(f"ablation-{name}"), table, tables.readable_ablation(table), ablation_caption(plan, name)
        )
        labels = {tables.baseline_name(plan): "baseline"} | {c.objective_name: c.label for c in cases}
        figure = figures.fid_against_nfe(
            per_run, labels, ablation_caption(plan, name).split(":")[0], tables.varies_objective_only(plan, name)
        )
        figures.save_figure(figure, layout.figure(f"ablation-{name}"))


def write_report(plan: Plan, results: Path) -> None:
    """scores.parquet and .csv, runs.csv, the agreement of the libraries, and report.html."""
    layout = ReportLayout(results, plan.experiment.name)
    runs = collect.runs_of(plan, "all")
    scores, facts = collect.collect_scores(runs, results), collect.collect_runs(runs, results)
    with atomic_path(layout.scores_parquet) as temporary:
        scores.to_parquet(temporary, index=False)
    for path, frame in ((layout.scores_csv, scores), (layout.runs_csv, facts)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    agreed = agreement(scores)
    readable = agreed.assign(**{c: agreed[c].map("{:.1e}".format) for c in agreed if c.startswith("largest")})
    caption = "The libraries on the same samples with the same features, all sample sets."
    tables.write_table(layout.table("agreement"), agreed, readable, caption)
    write_html(plan, results, scores, facts, readable)


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
