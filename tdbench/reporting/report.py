"""The parts of a report: the comparison, the ablations, and the page that shows all."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tdbench.experiment.metrics import label, leading
from tdbench.experiment.run import Plan, runs_of
from tdbench.experiment.schema import pair_name
from tdbench.records.layout import ReportLayout
from tdbench.reporting import collect, figures, tables
from tdbench.reporting.captions import (
    AGREEMENT_CAPTION,
    COMPARISON_CAPTION,
    CONSISTENCY_CAPTION,
    COST_CAPTION,
    COST_QUALITY_CAPTION,
    FINAL_CAPTION,
    NEAREST_CAPTION,
    ablation_caption,
    metric_title,
)
from tdbench.reporting.cost import cost_against_quality, readable_cost_against_quality
from tdbench.reporting.nearest import nearest_pairs, nearest_table, readable_nearest
from tdbench.reporting.statistics import agreement
from tdbench.runtime.files import atomic_path, write_json
from tdbench.runtime.provenance import provenance


def write_comparison(plan: Plan, results: Path, columns: Sequence[str] = ()) -> list[str]:
    """Tables and figures that set TD beside its baseline; returns the columns that the LaTeX tables may have."""
    layout, runs = ReportLayout(results, plan.experiment.name), runs_of(plan, "comparison")
    known: list[str] = []

    def write(name: str, numbers: pd.DataFrame, readable: pd.DataFrame, caption: str) -> None:
        known.extend(tables.write_table(layout.table(name), numbers, readable, caption, columns))

    scores = collect.collect_scores(runs, results)
    per_run = collect.mean_over_snapshots(scores)
    table = tables.comparison_table(plan, per_run)
    write("comparison", table, tables.readable_comparison(table), COMPARISON_CAPTION)
    final = tables.comparison_table(plan, collect.of_last_snapshot(scores))
    write("comparison-final", final, tables.readable_comparison(final), FINAL_CAPTION)
    facts = collect.collect_runs(runs, results)
    cost = tables.cost_table(plan, facts)
    write("cost", cost, cost, COST_CAPTION)
    against = cost_against_quality(plan, table, facts)
    readable = readable_cost_against_quality(against)
    write("cost-against-quality", against, readable, COST_QUALITY_CAPTION)
    title = f"{plan.experiment.name}: what TD costs and what it gives, by step budget"
    figures.save_figure(figures.cost_against_quality(against, title), layout.figure("cost-against-quality"))
    labels = {name: name for name in tables.objectives(plan)}
    title = f"{plan.experiment.name}: {metric_title(leading(per_run.metric))} against NFE"
    figures.save_figure(figures.fid_against_nfe(per_run, labels, title), layout.figure("fid-against-nfe"))
    near = nearest_table(runs, results)
    write("nearest", near, readable_nearest(near), NEAREST_CAPTION)
    consistency = tables.comparison_table(plan, collect.collect_consistency(runs, results))
    readable = tables.readable_consistency(consistency)
    write("consistency", consistency, readable, CONSISTENCY_CAPTION)
    title = f"{plan.experiment.name}: cross-time residual (smaller is more consistent)"
    figure = figures.residuals_over_time(collect.collect_residuals(runs, results), labels, title)
    figures.save_figure(figure, layout.figure("consistency"))
    curves = collect.collect_curves(runs, results)
    for (dataset, formulation), group in curves.groupby(["dataset", "formulation"], sort=False):
        name = pair_name(str(dataset), str(formulation))
        figures.save_figure(figures.training_curves(group, f"Training, {name}"), layout.figure(f"training-{name}"))
        grids = figures.sample_grids(plan, results, str(dataset), str(formulation))
        figures.save_figure(grids, layout.figure(f"samples-{name}"))
        pairs = nearest_pairs(plan, results, str(dataset), str(formulation))
        figures.save_figure(pairs, layout.figure(f"nearest-{name}"))
    return known


def write_ablations(plan: Plan, results: Path, columns: Sequence[str] = ()) -> list[str]:
    """A table and a figure for each ablation; returns the columns that the LaTeX tables may have."""
    layout, known = ReportLayout(results, plan.experiment.name), list[str]()
    scores = collect.collect_scores(runs_of(plan, "ablations"), results)
    per_run = collect.mean_over_snapshots(scores)
    for name in plan.ablations:
        table = tables.ablation_table(plan, name, per_run)
        readable, caption = tables.readable_ablation(table), ablation_caption(plan, name)
        known += tables.write_table(layout.table(f"ablation-{name}"), table, readable, caption, columns)
        labels = {label: label for label in collect.labels_of_ablation(plan, name)}
        title, comparable = ablation_caption(plan, name).split(":")[0], tables.varies_objective_only(plan, name)
        shown = collect.scores_of_ablation(plan, name, per_run)
        figure = figures.fid_against_nfe(shown, labels, title, comparable)
        figures.save_figure(figure, layout.figure(f"ablation-{name}"))
    return known


def write_report(plan: Plan, results: Path, columns: Sequence[str] = ()) -> list[str]:
    """scores.parquet and .csv, runs.csv, the agreement of the libraries, report.html, and report.json on its origin."""
    # Charts import slowly, and only the page has them.
    from tdbench.reporting.page.html import Findings, write_html

    layout = ReportLayout(results, plan.experiment.name)
    runs = runs_of(plan, "all")
    scores, facts = collect.collect_scores(runs, results), collect.collect_runs(runs, results)
    with atomic_path(layout.scores_parquet) as temporary:
        scores.to_parquet(temporary, index=False)
    for path, frame in ((layout.scores_csv, scores), (layout.runs_csv, facts)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    agreed = agreement(scores)
    largest = [str(c) for c in agreed if str(c).startswith("largest")]
    readable = agreed.assign(**{c: agreed[c].map("{:.1e}".format) for c in largest})
    if not agreed.empty:
        readable["metric"] = agreed.metric.map(label)
    known = tables.write_table(layout.table("agreement"), agreed, readable, AGREEMENT_CAPTION, columns)
    compared = runs_of(plan, "comparison")
    consistency, near = collect.collect_consistency(compared, results), nearest_table(compared, results)
    write_html(plan, results, Findings(scores, facts, readable, consistency, near))
    write_json(layout.record, {"provenance": provenance()})
    return known
