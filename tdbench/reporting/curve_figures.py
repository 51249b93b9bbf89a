"""Figures of scores in the course of training."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdbench.experiment.metrics import label
from tdbench.experiment.schema import pair_name
from tdbench.records.floor import Floor
from tdbench.reporting.captions import metric_title
from tdbench.reporting.figures import colours_for, plain_ticks
from tdbench.reporting.findings import Findings
from tdbench.reporting.tables import objectives

AXES = {
    "kimg": "images shown, thousands",
    "passes": "passes through the networks, thousands",
    "seconds": "training time, s",
}
DIFFERENCES = {"kimg": ("difference", "at equal images"), "passes": ("at_passes", "at equal passes")}


def curves(found: Findings, dataset: str, formulation: str) -> Figure:
    """The curves of a data set and formulation against images, passes and seconds, and their differences."""
    table = found.table("curves").numbers
    rows = table[(table.dataset == dataset) & (table.formulation == formulation)]
    rows = rows.assign(passes=rows.passes / 1e3)
    floors = {key[2]: floor for key, floor in found.floors.items() if key[0] == dataset}
    title = f"{pair_name(dataset, formulation)}: scores in the course of training"
    return draw_curves(rows, objectives(found.plan), floors, title)


def draw_curves(rows: pd.DataFrame, names: list[str], floors: dict[int, Floor], title: str) -> Figure:
    """Curves above, differences to the baseline below; two rows of panels for each step budget.

    Parameters
    ----------
    rows : DataFrame
        Rows of `curves.curve_table`, with passes in thousands.
    names : list of str
        Objectives, the baseline first.
    floors : dict
        Number of samples -> floor of FID.
    """
    budgets = list(dict.fromkeys(rows.steps))
    if not budgets:
        figure = plt.figure(figsize=(6, 1.5))
        figure.text(0.5, 0.5, f"{title}: no curves were scored", ha="center", va="center")
        return figure
    count = len(budgets)
    figure, axes = plt.subplots(
        2 * count,
        len(AXES),
        figsize=(14, 6.2 * count),
        squeeze=False,
        height_ratios=[3, 2] * count,
        layout="constrained",
    )
    colours = colours_for(names)
    for i, steps in enumerate(budgets):
        shown = rows[rows.steps == steps]
        for axis, (column, words) in zip(axes[2 * i], AXES.items(), strict=True):
            _curves(axis, shown, names, colours, column)
            _floor(axis, shown, floors)
            axis.set(xlabel=words)
        axes[2 * i][0].set_ylabel(
            f"{label(str(shown.metric.iloc[0]))} at {steps} steps, {shown.samples.iloc[0]} samples"
        )
        for axis, column in zip(axes[2 * i + 1], AXES, strict=True):
            if column in DIFFERENCES:
                _differences(axis, shown, names[1:], colours, column)
            else:
                axis.remove()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.suptitle(f"{title} ({metric_title(str(rows.metric.iloc[0]))})")
    return figure


def _curves(axis: Axes, rows: pd.DataFrame, names: list[str], colours: dict[str, object], column: str) -> None:
    """Means with bands of ± one standard deviation over seeds."""
    for name in names:
        mine = rows[(rows.objective == name) & rows[column].notna()].sort_values(column)
        if mine.empty:
            continue
        axis.plot(
            mine[column],
            mine["mean"],
            marker="o",
            markersize=3,
            label=f"{name} (n = {mine.n.max()})",
            color=colours[name],
        )
        std = mine["std"].fillna(0)
        low = (mine["mean"] - std).clip(lower=mine["mean"].where(mine["mean"] > 0) * 0.01)
        axis.fill_between(mine[column], low, mine["mean"] + std, alpha=0.2, color=colours[name])
    axis.set(xscale="log")
    plain_ticks(axis, "x")
    if (rows["mean"] > 0).all():
        axis.set(yscale="log")
        plain_ticks(axis)


def _floor(axis: Axes, rows: pd.DataFrame, floors: dict[int, Floor]) -> None:
    """What perfect samplers score with as many samples."""
    floor = floors.get(int(rows.samples.iloc[0])) if rows.metric.iloc[0] == "fid" else None
    if floor is not None:
        axis.axhline(floor.mean, color="0.4", linestyle=":", linewidth=1.2, label="floor: perfect samplers")
        axis.axhspan(min(floor.mean, floor.highest), floor.highest, color="0.4", alpha=0.12, linewidth=0)


def _differences(axis: Axes, rows: pd.DataFrame, treated: list[str], colours: dict[str, object], column: str) -> None:
    """Paired differences with their 95 % intervals, in percent of the objective's score less the difference."""
    name, words = DIFFERENCES[column]
    axis.axhline(0, color="0.3", linewidth=1)
    for objective in treated:
        mine = rows[(rows.objective == objective) & rows[name].notna()].sort_values(column)
        if mine.empty:
            continue
        base = mine["mean"] - mine[name]
        scale = np.where(base > 0, 100 / base, np.nan)
        axis.plot(mine[column], mine[name] * scale, marker="o", markersize=3, color=colours[objective])
        low, high = (mine[f"{name}_{end}"].fillna(mine[name]) * scale for end in ("low", "high"))
        axis.fill_between(mine[column], low, high, alpha=0.2, color=colours[objective])
    axis.set(xscale="log", xlabel=AXES[column], ylabel=f"difference to\nbaseline, %,\n{words}")
    plain_ticks(axis, "x")
