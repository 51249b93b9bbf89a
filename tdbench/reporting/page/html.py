"""Builds report.html from the tables and figures beside it."""

import base64
import io
import json
from functools import partial
from importlib import resources
from pathlib import Path
from pkgutil import resolve_name

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from tdbench.experiment.extractors import LIBRARY_SPECIFIC
from tdbench.experiment.metrics import label, leading
from tdbench.records.report import FIGURES, TABLES
from tdbench.reporting import captions, collect, tables
from tdbench.reporting.answer import summary
from tdbench.reporting.findings import Findings
from tdbench.reporting.limits import limit_ablation, limit_comparison, saturation_advice
from tdbench.reporting.mechanism import sentences
from tdbench.reporting.page import charts, history, libraries
from tdbench.reporting.page.table import PageTable, page_table
from tdbench.runtime.files import write_text
from tdbench.runtime.provenance import provenance


def write_html(found: Findings) -> None:
    """Write report.html from the findings and the figures beside it."""
    plan, per_run = found.plan, found.per_run("all")
    compared = found.table("comparison").numbers
    passes = found.table("comparison-equal-passes").numbers
    headline, answers = summary(plan, compared, found.per_run("comparison"), passes)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            plan=plan,
            experiment=plan.experiment,
            headline=headline,
            answers=answers,
            saturation=saturation_advice(found, compared),
            mechanism=sentences(found),
            tables=_tables(found),
            figures=_figures(found),
            groups=_groups(found),
            chart_config=charts.CONFIG,
            leading=label(leading(per_run.metric)),
            metrics={name: captions.metric_title(name) for name in per_run.metric.unique()},
            libraries=list(per_run.library.unique()),
            ablations=list(plan.ablations),
            predictions=_predictions(found),
            pairs=plan.experiment.pairs,
            features_of_published=LIBRARY_SPECIFIC,
            provenance=provenance(),
            span=history.span(found),
            installed=history.installed(),
            settings=json.dumps(plan.experiment.model_dump(mode="json", by_alias=True), indent=2),
            chart_script=Markup(libraries.chart_script()),
            table_module=libraries.table_module(),
            credits=libraries.credits(),
            style=_part("style.css"),
            script=_part("page.js"),
        )
    )
    write_text(found.layout.html, page)


def _tables(found: Findings) -> dict[str, PageTable]:
    """Name in the template -> table; tables without rows are left out."""
    names = [one.name for row in TABLES for one in row.of(found.plan)]
    made = {name: found.table(name) for name in names}
    return {
        name: page_table(table.readable, table.caption, _choices(table.readable))
        for name, table in made.items()
        if not table.readable.empty
    }


def _choices(frame: pd.DataFrame) -> dict[str, str]:
    """Column -> initial choice of a long table's filters: the first metric by the first library."""
    names = ["data", "formulation", "objective", "metric", "library"]
    if len(frame) < 12 or not {"metric", "library"} <= set(frame):
        return {}
    first = {name: str(frame[name].iloc[0]) for name in ("metric", "library")}
    return {name: first.get(name, "") for name in names if name in frame}


def _figures(found: Findings) -> dict[str, dict[str, str]]:
    """Name -> source and alternative text of every picture."""
    shown = [(figure, one) for figure in FIGURES for one in figure.of(found.plan)]
    return {
        one.name: {
            "source": _embed(found.layout.figure(one.name)),
            "alt": resolve_name(figure.describe)(found, *one.about),
        }
        for figure, one in shown
    }


def _groups(found: Findings) -> dict[str, charts.Group]:
    """Place on the page -> its interactive charts."""
    plan = found.plan
    groups = {
        "comparison": charts.scores_group(
            found.per_run("comparison"), tables.objectives(plan), limits=lambda table: limit_comparison(found, table)
        ),
        "cost": charts.cost_group(found.table("cost-against-quality").numbers),
    }
    for name in plan.ablations:
        comparable = tables.varies_objective_only(plan, name)
        labels = collect.labels_of_ablation(plan, name)
        limits = partial(limit_ablation, found)
        groups[f"ablation-{name}"] = charts.scores_group(found.cases(name), labels, comparable, limits)
    return groups


def _predictions(found: Findings) -> dict[str, tuple[str, str]]:
    """Ablation -> what was predicted and what came out, where something was predicted."""
    return {
        name: (ablation.prediction, tables.outcome(found.table(f"ablation-{name}").numbers))
        for name, ablation in found.plan.experiment.ablations.items()
        if ablation.prediction
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tdbench.reporting.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Names keep the experiment's order; `tojson` escapes tags that would end the surrounding element.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    return environment


def _part(name: str) -> Markup:
    """A style sheet or script of tdbench, inserted as it is."""
    return Markup(resources.files("tdbench.reporting.page").joinpath("templates", name).read_text(encoding="utf-8"))


def _embed(paths: list[Path]) -> str:
    """A figure as a data URL in lossless WebP, which takes less than half of PNG's bytes."""
    packed = io.BytesIO()
    with Image.open(next(path for path in paths if path.suffix == ".png")) as picture:
        picture.save(packed, "WEBP", lossless=True, method=2, quality=50)  # effort, not loss
    return "data:image/webp;base64," + base64.b64encode(packed.getvalue()).decode()
