"""report.html: one self-contained page."""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from tdbench.evaluation.features import describe_extractor
from tdbench.files import write_text
from tdbench.layout import DatasetLayout, ReportLayout
from tdbench.plan import Plan
from tdbench.provenance import provenance
from tdbench.reporting import collect, tables
from tdbench.reporting.published import published_table
from tdbench.reporting.wording import (
    AGREEMENT_CAPTION,
    COMPARISON_CAPTION,
    COST_CAPTION,
    PUBLISHED_CAPTION,
    ablation_caption,
    summary,
)


def write_html(plan: Plan, results: Path, scores: pd.DataFrame, runs: pd.DataFrame, agreement: pd.DataFrame) -> None:
    """Render the page from the tables and figures that stand beside it."""
    layout = ReportLayout(results, plan.experiment.name)
    per_run = collect.mean_over_snapshots(scores)
    comparison = tables.comparison_table(plan, per_run)
    ablations = [
        {
            "name": name,
            "caption": ablation_caption(plan, name),
            "table": tables.readable_ablation(tables.ablation_table(plan, name, per_run)),
            "figure": _embed(layout.figure(f"ablation-{name}")),
        }
        for name in plan.ablations
    ]
    headline, answers = summary(comparison)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            experiment=plan.experiment,
            headline=headline,
            answers=answers,
            comparison=tables.readable_comparison(comparison),
            comparison_caption=COMPARISON_CAPTION,
            cost_caption=COST_CAPTION,
            agreement_caption=AGREEMENT_CAPTION,
            cost=tables.cost_table(plan, runs),
            fid_figure=_embed(layout.figure("fid-against-nfe")),
            samples=[(p, _embed(layout.figure(f"samples-{p}"))) for p in plan.experiment.pairs],
            curves=[(p, _embed(layout.figure(f"training-{p}"))) for p in plan.experiment.pairs],
            ablations=ablations,
            agreement=agreement,
            published=published_table(plan, per_run),
            published_caption=PUBLISHED_CAPTION,
            data=_data_facts(plan, results),
            runs=_run_facts(runs),
            provenance=provenance(),
            settings=json.dumps(plan.experiment.model_dump(mode="json", by_alias=True), indent=2),
        )
    )
    write_text(layout.html, page)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tdbench.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = lambda value: "" if pd.isna(value) else str(value)
    return environment


def _embed(paths: list[Path]) -> str:
    png = next(p for p in paths if p.suffix == ".png")
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def _data_facts(plan: Plan, results: Path) -> pd.DataFrame:
    rows = []
    for name, dataset in plan.experiment.datasets.items():
        facts: dict[str, Any] = json.loads(DatasetLayout(results, name).summary.read_text())
        features = describe_extractor(
            plan.experiment.evaluation.features, plan.libraries(name), DatasetLayout(results, name)
        )
        rows.append({"data": name, "source": dataset.source} | facts | {"features": features})
    return pd.DataFrame(rows)


def _run_facts(runs: pd.DataFrame) -> pd.DataFrame:
    shown = runs.assign(
        training_seconds=runs.training_seconds.round(1), memory_mb=runs.memory_mb.round(), loss=runs.loss.round(4),
        valid_share=runs.valid_share.round(3), git_commit=runs.git_commit.str.slice(0, 12),
        data=runs.data.str.slice(0, 12),
    )  # fmt: skip
    return shown.drop(columns=["dataset", "formulation", "objective"])
