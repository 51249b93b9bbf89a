"""The page: what it holds, from the tables and figures that stand beside it."""

import base64
import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from tdbench.data.state import KEY
from tdbench.evaluation.features import describe_extractor
from tdbench.experiment.metrics import label, leading
from tdbench.experiment.run import Plan
from tdbench.experiment.schema import pair_name
from tdbench.records.layout import DatasetLayout, ReportLayout
from tdbench.records.schema import Data, read_record
from tdbench.reporting import captions, collect, tables
from tdbench.reporting.cost import cost_against_quality, readable_cost_against_quality
from tdbench.reporting.nearest import readable_nearest
from tdbench.reporting.page import charts, descriptions, history, libraries
from tdbench.reporting.page.table import PageTable, page_table
from tdbench.reporting.published import published_table
from tdbench.runtime import advice
from tdbench.runtime.files import write_text
from tdbench.runtime.provenance import provenance

MOST_CLASSES_NAMED = 20
"""A data set of more classes is described by the fewest and the most images of a class."""


@dataclass(frozen=True)
class Findings:
    """What the page tells of.

    Attributes
    ----------
    scores, runs : DataFrame
        What `collect.collect_scores` and `collect.collect_runs` give for all runs.
    agreement : DataFrame
        The agreement of the libraries as people read it.
    consistency, nearest : DataFrame
        What `collect.collect_consistency` and `nearest.nearest_table` give for the comparison.
    """

    scores: pd.DataFrame
    runs: pd.DataFrame
    agreement: pd.DataFrame
    consistency: pd.DataFrame
    nearest: pd.DataFrame


def write_html(plan: Plan, results: Path, found: Findings) -> None:
    """Write report.html from what was found and the figures that stand beside it."""
    per_run = collect.mean_over_snapshots(found.scores)
    comparison = tables.comparison_table(plan, per_run)
    costs = cost_against_quality(plan, comparison, found.runs)
    headline, answers = captions.summary(plan, comparison, per_run)
    groups = {"comparison": charts.scores_group(per_run, tables.objectives(plan)), "cost": charts.cost_group(costs)}
    groups |= {f"ablation-{name}": _ablation_group(plan, name, per_run) for name in plan.ablations}
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            experiment=plan.experiment,
            headline=headline,
            answers=answers,
            tables=_tables(plan, results, found, per_run, comparison, costs),
            figures=_figures(plan, results, found, per_run, costs),
            groups=groups,
            chart_config=charts.CONFIG,
            leading=label(leading(per_run.metric)),
            metrics={name: captions.metric_title(name) for name in per_run.metric.unique()},
            libraries=list(per_run.library.unique()),
            ablations=list(plan.ablations),
            pairs=plan.experiment.pairs,
            provenance=provenance(),
            span=history.span(plan, results),
            installed=history.installed(),
            settings=json.dumps(plan.experiment.model_dump(mode="json", by_alias=True), indent=2),
            chart_script=Markup(libraries.chart_script()),
            table_module=libraries.table_module(),
            credits=libraries.credits(),
            style=_part("style.css"),
            script=_part("page.js"),
        )
    )
    write_text(ReportLayout(results, plan.experiment.name).html, page)


def _tables(
    plan: Plan, results: Path, found: Findings, per_run: pd.DataFrame, comparison: pd.DataFrame, costs: pd.DataFrame
) -> dict[str, PageTable]:
    """All tables by the name that the template knows them by; those without rows are left out."""
    final = tables.comparison_table(plan, collect.of_last_snapshot(found.scores))
    consistency = tables.comparison_table(plan, found.consistency)
    frames = {
        "comparison": (tables.readable_comparison(comparison), captions.COMPARISON_CAPTION),
        "comparison-final": (tables.readable_comparison(final), captions.FINAL_CAPTION),
        "cost": (tables.cost_table(plan, found.runs), captions.COST_CAPTION),
        "cost-against-quality": (readable_cost_against_quality(costs), captions.COST_QUALITY_CAPTION),
        "consistency": (tables.readable_consistency(consistency), captions.CONSISTENCY_CAPTION),
        "nearest": (readable_nearest(found.nearest), captions.NEAREST_CAPTION),
        "agreement": (found.agreement, captions.AGREEMENT_CAPTION),
        "published": (published_table(plan, per_run), captions.PUBLISHED_CAPTION),
        "data": (_data_facts(plan, results), "Data"),
        "failures": (history.failures(plan, results), "Runs that are not done, and trainings that were cut short"),
        "hardware": (history.hardware(plan, results), "Hardware of the trainings"),
        "versions": (history.library_versions(plan, results), "Versions"),
        "runs": (_run_facts(found.runs), "Runs"),
        "times": (history.stage_times(plan, results), "Times (UTC) of the last attempt at each stage"),
    }
    for name in plan.ablations:
        table = tables.ablation_table(plan, name, per_run)
        frames[f"ablation-{name}"] = (tables.readable_ablation(table), captions.ablation_caption(plan, name))
    return {
        name: page_table(frame, caption, _choices(frame))
        for name, (frame, caption) in frames.items()
        if not frame.empty
    }


def _choices(frame: pd.DataFrame) -> dict[str, str]:
    """What a long table lets its reader choose: at first the first metric by the first library."""
    names = ["data", "formulation", "objective", "metric", "library"]
    if len(frame) < 12 or not {"metric", "library"} <= set(frame):
        return {}
    first = {name: str(frame[name].iloc[0]) for name in ("metric", "library")}
    return {name: first.get(name, "") for name in names if name in frame}


def _figures(
    plan: Plan, results: Path, found: Findings, per_run: pd.DataFrame, costs: pd.DataFrame
) -> dict[str, dict[str, str]]:
    """All pictures by name, with what they show in numbers."""
    objectives = tables.objectives(plan)
    said = {
        "fid-against-nfe": descriptions.describe_scores(per_run, objectives),
        "cost-against-quality": descriptions.describe_costs(costs),
        "consistency": descriptions.describe_residuals(found.consistency, objectives),
    }
    for name in plan.ablations:
        cases = collect.scores_of_ablation(plan, name, per_run)
        said[f"ablation-{name}"] = descriptions.describe_scores(cases, collect.labels_of_ablation(plan, name))
    for dataset in plan.experiment.datasets:
        for formulation in plan.experiment.formulations:
            cell, pair = (dataset, formulation), pair_name(dataset, formulation)
            said[f"samples-{pair}"] = descriptions.describe_samples(plan, per_run, *cell, objectives)
            said[f"nearest-{pair}"] = descriptions.describe_nearest(found.nearest, *cell)
            said[f"training-{pair}"] = descriptions.describe_curves(found.runs, *cell, objectives)
    layout = ReportLayout(results, plan.experiment.name)
    return {name: {"source": _embed(layout.figure(name)), "alt": text} for name, text in said.items()}


def _ablation_group(plan: Plan, name: str, per_run: pd.DataFrame) -> dict[str, Any]:
    cases = collect.scores_of_ablation(plan, name, per_run)
    comparable = tables.varies_objective_only(plan, name)
    return charts.scores_group(cases, collect.labels_of_ablation(plan, name), comparable)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tdbench.reporting.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Names stay in the experiment's order; `tojson` writes no tag that would end the element around it.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    return environment


def _part(name: str) -> Markup:
    """A style or script of our own, which is no template."""
    return Markup(resources.files("tdbench.reporting.page").joinpath("templates", name).read_text(encoding="utf-8"))


def _embed(paths: list[Path]) -> str:
    """A figure's pixels as they are, in less than half of PNG's bytes."""
    packed = io.BytesIO()
    with Image.open(next(path for path in paths if path.suffix == ".png")) as picture:
        picture.save(packed, "WEBP", lossless=True, method=2, quality=50)  # of its effort
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()


def _data_facts(plan: Plan, results: Path) -> pd.DataFrame:
    rows = []
    for name, dataset in plan.experiment.datasets.items():
        summary = DatasetLayout(results, name).summary
        facts = read_record(summary, advice.snakemake(plan.path, results, summary), Data)
        features = describe_extractor(
            plan.experiment.evaluation.features, plan.libraries(name), DatasetLayout(results, name)
        )
        facts.pop(KEY, None)
        checksum = {"sha256": facts.pop("sha256")}  # last, for it is long
        facts |= {"images a class": _images_a_class(facts.pop("class_counts", None), facts.pop("class_names", None))}
        facts |= {"classes of samples": _classes_of_samples(plan, name) if facts["classes"] else "—"}
        rows.append({"data": name, "source": dataset.source} | facts | {"features": features} | checksum)
    return pd.DataFrame(rows)


def _images_a_class(counts: list[int] | None, names: list[str] | None) -> str:
    """Images of each class by name, or the fewest and the most where classes have no names or are many."""
    if not counts:
        return "—"
    if names is None or len(names) > MOST_CLASSES_NAMED:
        return f"{min(counts)} to {max(counts)}"
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))


def _classes_of_samples(plan: Plan, dataset: str) -> str:
    """How the classes of a data set's samples were drawn."""
    names = {"data": "in the proportions of the data", "even": "evenly"}
    drawn: dict[str, list[str]] = {}
    for run in plan.runs.values():
        if run.dataset_name == dataset:
            drawn.setdefault(names[run.sampling.classes], []).append(run.formulation_name)
    if len(drawn) == 1:
        return next(iter(drawn))
    return "; ".join(f"{how} ({', '.join(dict.fromkeys(which))})" for how, which in drawn.items())


def _run_facts(runs: pd.DataFrame) -> pd.DataFrame:
    shown = runs.assign(
        training_seconds=runs.training_seconds.round(1),
        memory_mb=runs.memory_mb.round(),
        loss=runs.loss.round(4),
        valid_share=runs.valid_share.round(3),
        git_commit=runs.git_commit.str.slice(0, 12),
        data=runs.data.str.slice(0, 12),
    )
    return shown.drop(columns=["dataset", "formulation", "objective"])
