"""Interactive charts as Vega-Lite specifications, one for each kind and metric; the page fills in the rows.

A group contains the charts at one place of the page: the comparison, an ablation, or cost against quality. Its cells
lie side by side. Each cell has one or two charts above each other with the rows of the chosen metric and library.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypedDict

import altair as alt
import pandas as pd

from tdbench.experiment.metrics import METRICS
from tdbench.experiment.schema import pair_name
from tdbench.reporting.captions import metric_title
from tdbench.reporting.cells import interval, spread
from tdbench.reporting.cost import COSTS, LEAST_SHOWN
from tdbench.reporting.figures import beside, colours_of
from tdbench.reporting.statistics import compare, summarise

Json = dict[str, Any]
"""A Vega-Lite object, or a row of data."""
Rows = dict[str, list[list[Json]]]
"""``cell|metric|library`` -> the rows of each chart of the cell."""


class Group(TypedDict):
    """The charts at one place of the page."""

    cells: list[dict[str, str]]
    """Key and title."""
    legend: dict[str, str]
    """Name -> colour."""
    specs: dict[str, list[Json]]
    """Metric -> the charts of a cell, one below the other."""
    rows: Rows


_ROWS = alt.NamedData("rows")
_HEIGHT, _LOWER_HEIGHT = 230, 130
_KEYS = ["dataset", "formulation", "metric", "library", "objective", "steps", "nfe"]
# Colours are variables of the page's style, so that they follow its dark and light mode.
CONFIG: Json = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": "transparent"},
    "axis": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "domainColor": "var(--ink)",
        "tickColor": "var(--ink)",
        "gridColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


def scores_group(
    per_run: pd.DataFrame,
    labels: list[str],
    comparable: bool = True,
    limits: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> Group:
    """Scores against NFE, and differences to the baseline below: one cell per data set and formulation.

    Parameters
    ----------
    labels : list of str
        Objectives, or cases of an ablation, the baseline first; others are left out.
    comparable : bool
        Whether differences to the baseline are meaningful.
    limits : callable or None
        Adds to the differences what limits their verdicts (`limits`).
    """
    baseline, *treated = labels
    shown = per_run[per_run.objective.isin(labels)]
    means = summarise(shown)
    # A logarithmic axis and percent of the baseline need positive means.
    positive = (means["mean"] > 0).groupby(means.metric).all()
    differences = compare(shown, baseline, treated) if comparable else compare(shown[:0], baseline, treated)
    if limits is not None and not differences.empty:
        differences = limits(differences)
    differences = differences.assign(said=_said(differences))
    colours = colours_of(labels)
    parts = [_value_rows(means, differences, labels)]
    if not differences.empty:
        parts.append(_difference_rows(differences, treated, positive))
    parts = [rows.assign(colour=rows.objective.map(colours)) for rows in parts]
    specs = {
        metric: [chart(metric, log) for chart in (_value_chart, _difference_chart)[: len(parts)]]
        for metric, log in ((name, bool(positive[name])) for name in _ordered(positive.index))
    }
    pairs = means[["dataset", "formulation"]].drop_duplicates().itertuples(index=False)
    return {
        "cells": [{"key": pair_name(*pair), "title": ", ".join(pair)} for pair in pairs],
        "legend": colours,
        "specs": specs,
        "rows": _by_cell(parts),
    }


def cost_group(costs: pd.DataFrame) -> Group:
    """Scores against training time and, below, against memory, all as multiples of the baseline's.

    Parameters
    ----------
    costs : DataFrame
        Result of `cost.cost_against_quality`.
    """
    names = [pair_name(*pair) for pair in zip(costs.dataset, costs.formulation, strict=True)]
    colours = colours_of(list(dict.fromkeys(names)))
    rows = costs.assign(
        pair=names, colour=[colours[name] for name in names], said=_said(costs), dataset="all", formulation="pairs"
    )
    rows["quality_low"] = rows.quality_low.fillna(rows.quality).clip(lower=LEAST_SHOWN)
    rows["quality_high"] = rows.quality_high.fillna(rows.quality)
    specs = {
        metric: [_cost_chart(metric, column, title) for column, title in COSTS.items()]
        for metric in _ordered(rows.metric.unique())
    }
    kept = [*_KEYS, "pair", "quality", "quality_low", "quality_high", "said", "n", "verdict", "colour", *COSTS]
    cell = {"key": pair_name("all", "pairs"), "title": ""}
    return {"cells": [cell], "legend": colours, "specs": specs, "rows": _by_cell([rows[kept]] * len(COSTS))}


def _ordered(metrics: Iterable[str]) -> list[str]:
    """Metrics in the order of the registry, unknown ones last."""
    known = list(METRICS)
    return sorted(metrics, key=lambda name: known.index(name) if name in known else len(known))


def _said(table: pd.DataFrame) -> list[str]:
    return [
        str(interval(*row)) for row in zip(table.difference, table.difference_low, table.difference_high, strict=True)
    ]


def _by_cell(parts: list[pd.DataFrame]) -> Rows:
    """``cell|metric|library`` -> the rows of each chart of the cell, as records for JSON, which has no NaN."""
    found: Rows = {}
    for rows in parts:
        for keys, group in rows.groupby(["dataset", "formulation", "metric", "library"], sort=False):
            dataset, formulation, metric, library = map(str, keys)
            plain = group.drop(columns=["dataset", "formulation", "metric", "library"]).astype(object)
            records = [
                {str(k): v for k, v in row.items()} for row in plain.where(plain.notna(), None).to_dict("records")
            ]
            found.setdefault(f"{pair_name(dataset, formulation)}|{metric}|{library}", []).append(records)
    return found


def _value_rows(means: pd.DataFrame, differences: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    std = means["std"].fillna(0)
    rows = means.assign(
        # A logarithmic axis cannot show a band that reaches zero.
        low=(means["mean"] - std).clip(lower=means["mean"].where(means["mean"] > 0) * 0.01),
        high=means["mean"] + std,
        value=[str(spread(m, s)) for m, s in zip(means["mean"], means["std"], strict=True)],
    ).merge(differences[[*_KEYS, "said", "verdict"]], on=_KEYS, how="left")
    rows = rows.sort_values("objective", key=lambda names: names.map(labels.index), kind="stable")
    return rows.astype({"said": object, "verdict": object}).fillna({"said": "—", "verdict": "—"})[
        [*_KEYS, "mean", "low", "high", "n", "value", "said", "verdict"]
    ]


def _difference_rows(differences: pd.DataFrame, treated: list[str], positive: pd.Series) -> pd.DataFrame:
    scale = (100 / differences.baseline_mean).where(differences.metric.map(positive), 1.0)
    # Without an interval (one seed) only the point is drawn.
    low = differences.difference_low.fillna(differences.difference)
    high = differences.difference_high.fillna(differences.difference)
    rows = differences.assign(center=differences.difference * scale, low=low * scale, high=high * scale)
    cells = rows.groupby(["dataset", "formulation"], sort=False)
    rows["x"] = pd.concat([beside(cell, treated) for _, cell in cells])
    return rows[[*_KEYS, "x", "center", "low", "high", "said", "n", "verdict"]]


# Rows contain their colours, so that the charts of all groups share a specification.
_COLOUR = alt.Color("colour:N", scale=None)


def _zoom() -> alt.Parameter:
    # Without Shift the wheel scrolls the page.
    return alt.selection_interval(bind="scales", zoom="wheel![event.shiftKey]")


def _x(field: str, title: str | None, whole: bool = False) -> alt.X:
    # NFE is an integer, so ticks at fractions have no label.
    axis = alt.Axis(
        tickCount=6, labelExpr="datum.value % 1 ? '' : format(datum.value, 'd')" if whole else alt.Undefined
    )
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(zero=False, padding=14), axis=axis)


def _y(field: str, title: str, log: bool, zero: bool = False) -> alt.Y:
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=zero)
    # A minimum width of labels aligns the charts of a cell.
    axis = alt.Axis(tickCount=5, minExtent=44, format="~g" if log else alt.Undefined)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)


_TOLD = {
    "objective": "objective",
    "pair": "data and formulation",
    "steps": "steps",
    "nfe": "NFE",
    "value": "mean ± standard deviation",
    "said": "difference [95 %]",
    "n": "seeds",
    "verdict": "verdict",
}


def _told(*fields: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:N", title=_TOLD[name]) for name in fields]


def _point(chart: alt.Chart, **encodings: Any) -> alt.Chart:
    point: alt.Chart = chart.mark_point(filled=True, size=70, opacity=1, clip=True).encode(**encodings)
    return point.add_params(_zoom())


@cache
def _value_chart(metric: str, log: bool) -> Json:
    title = metric_title(metric)
    shown = alt.Chart(_ROWS).encode(x=_x("nfe", None, whole=True), color=_COLOUR)
    band = shown.mark_area(opacity=0.2, clip=True).encode(y=_y("low", title, log), y2="high:Q")
    line = shown.mark_line(clip=True).encode(y=_y("mean", title, log))
    told = _told("objective", "steps", "nfe", "value", "n", "said", "verdict")
    point = _point(shown, y=_y("mean", title, log), tooltip=told)
    return alt.layer(band, line, point).properties(width="container", height=_HEIGHT).to_dict()


@cache
def _difference_chart(_: str, percent: bool) -> Json:
    title = "difference, %" if percent else "difference"
    shown = alt.Chart(_ROWS).encode(x=_x("x", "NFE", whole=True), color=_COLOUR)
    zero = alt.Chart(_ROWS).mark_rule(color="var(--ink)", strokeDash=[4, 3]).encode(y=alt.datum(0))
    bar = shown.mark_rule(strokeWidth=2, clip=True).encode(y=_y("low", title, log=False, zero=True), y2="high:Q")
    told = _told("objective", "steps", "nfe", "said", "n", "verdict")
    point = _point(shown, y=_y("center", title, log=False, zero=True), tooltip=told)
    return alt.layer(zero, bar, point).properties(width="container", height=_LOWER_HEIGHT).to_dict()


def _cost_chart(metric: str, column: str, title: str) -> Json:
    label = f"{metric_title(metric)}, × baseline"
    shown = alt.Chart(_ROWS).encode(x=_x(column, title), color=_COLOUR)
    even = alt.Chart(_ROWS).mark_rule(color="var(--ink)", strokeDash=[4, 3])
    bar = shown.mark_rule(strokeWidth=2, opacity=0.5, clip=True).encode(
        y=_y("quality_low", label, log=True), y2="quality_high:Q"
    )
    told = _told("pair", "objective", "steps", "nfe", "said", "n", "verdict")
    told += [alt.Tooltip(f"{name}:Q", title=text, format=".3") for name, text in COSTS.items()]
    point = _point(shown, y=_y("quality", label, log=True), tooltip=told)
    layers = alt.layer(even.encode(y=alt.datum(1)), even.encode(x=alt.datum(1)), bar, point)
    return layers.properties(width="container", height=_HEIGHT).to_dict()
