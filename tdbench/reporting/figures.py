"""Figures, each as PNG, SVG and PDF."""

from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tdbench.experiment.metrics import label as name_of
from tdbench.experiment.metrics import leading
from tdbench.experiment.schema import pair_name
from tdbench.reporting.captions import ablation_caption, metric_title
from tdbench.reporting.collect import labels_of_ablation
from tdbench.reporting.cost import COSTS, LEAST_SHOWN
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import compare, summarise
from tdbench.reporting.tables import objectives, varies_objective_only
from tdbench.runtime.files import atomic_path

# Text is not converted to paths, and the same figure gives the same bytes.
plt.rcParams.update({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "tdbench", "figure.dpi": 110})
sns.set_theme(style="whitegrid", palette="colorblind", context="notebook")


Colours = dict[str, tuple[float, float, float]]
"""Name -> red, green and blue, 0..1."""
_COLUMNS = 3
_DATES = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def save_figure(figure: Figure, paths: list[Path]) -> None:
    """Write a figure in the formats of the suffixes. Its layout is computed once, which takes as long as drawing it."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    whole = figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, bbox_inches=whole, metadata=_DATES.get(path.suffix))
    plt.close(figure)


def comparison(found: Findings) -> Figure:
    """The comparison against NFE."""
    per_run = found.per_run("comparison")
    title = f"{found.plan.experiment.name}: {metric_title(leading(per_run.metric))} against NFE"
    return fid_against_nfe(per_run, {name: name for name in objectives(found.plan)}, title)


def costs(found: Findings) -> Figure:
    """Cost against quality of the comparison."""
    title = f"{found.plan.experiment.name}: cost of TD against quality, by step budget"
    return cost_against_quality(found.table("cost-against-quality").numbers, title)


def consistency(found: Findings) -> Figure:
    """Cross-time residuals of the comparison."""
    title = f"{found.plan.experiment.name}: cross-time residual (smaller is more consistent)"
    return residuals_over_time(found.residuals, {name: name for name in objectives(found.plan)}, title)


def training(found: Findings, dataset: str, formulation: str) -> Figure:
    """Training curves of a data set and formulation."""
    curves = found.curves
    shown = curves[(curves.dataset == dataset) & (curves.formulation == formulation)]
    return training_curves(shown, f"Training, {pair_name(dataset, formulation)}")


def ablation(found: Findings, name: str) -> Figure:
    """The cases of an ablation against NFE."""
    title, comparable = ablation_caption(found.plan, name).split(":")[0], varies_objective_only(found.plan, name)
    labels = {label: label for label in labels_of_ablation(found.plan, name)}
    return fid_against_nfe(found.cases(name), labels, title, comparable)


def fid_against_nfe(per_run: pd.DataFrame, labels: dict[str, str], title: str, comparable: bool = True) -> Figure:
    """FID, or the leading metric, against NFE by the first library, one panel per data set and formulation.

    Above, means with bands of ± one standard deviation over seeds. Below, the difference to the baseline, paired by
    seed, with its 95 % interval, in percent of the baseline's mean if all means are positive.

    Parameters
    ----------
    labels : dict
        Objective name -> its name in the legend, the baseline first; other objectives are left out.
    comparable : bool
        Whether differences to the baseline are meaningful; if not, the panels below stay empty.
    """
    metric = leading(per_run.metric)
    fid = per_run[(per_run.metric == metric) & per_run.objective.isin(labels)]
    # One library is enough: the table of agreement shows whether the other one gives the same.
    fid = fid[fid.library == fid.groupby(["dataset", "formulation"])["library"].transform("first")]
    baseline, *treated = labels
    means, differences = summarise(fid), compare(fid, baseline, treated)
    positive = bool((means["mean"] > 0).all())
    keys = ["dataset", "formulation", "library"]
    panels = list(means.groupby(keys, sort=False))
    columns = min(len(panels), _COLUMNS)
    figure, places = _pairs_of_panels(len(panels), columns, legend_height=0.28 * -(-len(labels) // columns))
    colours = dict(zip(labels, _palette(len(labels)), strict=True))
    seeds = means.groupby("objective")["n"].max()
    legends = {name: f"{label} (n = {seeds.get(name, 0)})" for name, label in labels.items()}
    for (above, below), (cell, panel) in zip(places, panels, strict=True):
        above.sharex(below)
        _lines(above, panel, legends, colours)
        if comparable:
            shown = differences[(differences[keys] == list(cell)).all(axis=1)]
            _differences(below, shown, treated, colours, 100 / shown.baseline_mean if positive else 1.0)
        above.set(title=", ".join(map(str, cell)))
        if positive:
            above.set(yscale="log")
            plain_ticks(above)
        below.set(xlabel="NFE (network evaluations)", xticks=sorted(panel.nfe.unique()))
    for above, below in places[::columns]:
        above.set_ylabel(f"{name_of(metric)} on {means.features.iloc[0]} features")
        below.set_ylabel("difference to\nbaseline" + ", %" * positive)
    # Below the panels, so that long labels hide no line.
    figure.legend(*places[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    figure.suptitle(title)
    return figure


def _pairs_of_panels(count: int, columns: int, legend_height: float) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure of ``count`` pairs of panels, one above the other, with room for a legend (height in inches)."""
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        2 * rows,
        columns,
        figsize=(5.4 * columns, 6.6 * rows + legend_height),
        squeeze=False,
        height_ratios=[3, 2] * rows,
        layout="constrained",
    )
    places = [(axes[2 * row][column], axes[2 * row + 1][column]) for row in range(rows) for column in range(columns)]
    for above, below in places[count:]:
        above.remove()
        below.remove()
    return figure, places[:count]


def _palette(count: int) -> Any:
    """Distinct colours; seaborn's colour-blind palette has only ten."""
    return sns.color_palette("colorblind" if count <= 10 else "husl", count)


def _lines(axis: Axes, panel: pd.DataFrame, legends: dict[str, str], colours: Colours) -> None:
    """Draw a line with its band for each objective."""
    for objective, legend in legends.items():
        _line(axis, panel[panel.objective == objective].sort_values("nfe"), legend, colours[objective])


def _line(axis: Axes, data: pd.DataFrame, label: str, colour: object) -> None:
    axis.plot(data.nfe, data["mean"], marker="o", markersize=4, label=label, color=colour)
    std = data["std"].fillna(0)
    low = (data["mean"] - std).clip(lower=data["mean"] * 0.01)
    axis.fill_between(data.nfe, low, data["mean"] + std, alpha=0.2, color=colour)


def _differences(
    axis: Axes, data: pd.DataFrame, treated: list[str], colours: Colours, scale: pd.Series | float
) -> None:
    """Draw paired differences with their intervals, side by side so that they do not hide each other."""
    axis.axhline(0, color="0.3", linewidth=1)
    half = (data.difference_high - data.difference).fillna(0)
    data = data.assign(x=beside(data, treated), center=data.difference * scale, half=half * scale)
    for objective in treated:
        rows = data[data.objective == objective].sort_values("nfe")
        colour = colours[objective]
        axis.errorbar(rows.x, rows.center, rows.half, fmt="o", markersize=4, capsize=3, color=colour)


def beside(data: pd.DataFrame, treated: list[str]) -> pd.Series:
    """The x position of each row: its NFE, shifted so that objectives of one budget stand side by side."""
    gap = 0.02 * (data.nfe.max() - data.nfe.min()) if len(data) else 0
    return data.nfe + gap * (data.objective.map(treated.index).astype(float) - (len(treated) - 1) / 2)


def colours_for(names: list[str]) -> dict[str, Any]:
    """The colours of a figure's lines, as matplotlib takes them."""
    return dict(zip(names, _palette(len(names)), strict=True))


def colours_of(names: list[str]) -> dict[str, str]:
    """The colours of a figure's lines as #rrggbb."""
    return dict(zip(names, _palette(len(names)).as_hex(), strict=True))


def plain_ticks(axis: Axes, which: Literal["x", "y"] = "y") -> None:
    """Label a logarithmic axis with plain numbers: 3, 10, 30 rather than powers of ten."""
    low, high = axis.get_ylim() if which == "y" else axis.get_xlim()
    ticks = axis.yaxis if which == "y" else axis.xaxis
    # Over many decades the labels would overlap; numbers beside each other need more room than above each other.
    few, many = ((1, 2, 3, 5), 200) if which == "y" else ((1, 3), 500)
    ticks.set_major_locator(LogLocator(subs=few if high < many * low else (1,)))
    ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ticks.set_minor_formatter(NullFormatter())


def cost_against_quality(costs: pd.DataFrame, title: str) -> Figure:
    """FID, or the leading metric, against training time and memory, all as multiples of the baseline's.

    Parameters
    ----------
    costs : DataFrame
        Result of `cost.cost_against_quality`.
    """
    metric = leading(costs.metric)
    fid = costs[costs.metric == metric]
    fid = fid[fid.library == fid.groupby(["dataset", "formulation"])["library"].transform("first")]
    groups = list(fid.groupby(["dataset", "formulation", "objective"], sort=False))
    figure, axes = plt.subplots(1, len(COSTS), figsize=(6 * len(COSTS), 4.8), sharey=True, layout="constrained")
    for axis, (column, label) in zip(axes, COSTS.items(), strict=True):
        axis.axhline(1, color="0.3", linewidth=1)
        axis.axvline(1, color="0.3", linewidth=1)
        for (names, rows), colour in zip(groups, _palette(len(groups)), strict=True):
            down = (rows.quality - rows.quality_low.clip(lower=LEAST_SHOWN)).fillna(0)
            up = (rows.quality_high - rows.quality).fillna(0)
            axis.errorbar(
                rows[column],
                rows.quality,
                [down, up],
                fmt="o",
                markersize=5,
                capsize=3,
                color=colour,
                alpha=0.8,
                label=", ".join(map(str, names)),
            )
        axis.set(xlabel=label, yscale="log")
        plain_ticks(axis)
    axes[0].set_ylabel(f"{metric_title(metric)}, × baseline")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=_COLUMNS)
    figure.suptitle(title)
    return figure


def residuals_over_time(residuals: pd.DataFrame, labels: dict[str, str], title: str) -> Figure:
    """w ||delta||^2 against the index of the time grid, one panel per data set and formulation.

    Parameters
    ----------
    residuals : DataFrame
        Result of `collect.collect_residuals`.
    labels : dict
        Objective name -> its name in the legend.
    """
    panels = list(residuals.groupby(["dataset", "formulation"], sort=False))
    columns = max(min(len(panels), _COLUMNS), 1)
    rows = max(-(-len(panels) // columns), 1)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.4 * columns, 3.6 * rows + 0.4), squeeze=False, layout="constrained"
    )
    places = [axis for row in axes for axis in row]
    for axis in places[len(panels) :]:
        axis.remove()
    colours = dict(zip(labels, _palette(len(labels)), strict=True))
    for axis, (cell, panel) in zip(places, panels, strict=False):
        for objective, label in labels.items():
            found = panel[panel.objective == objective].groupby("index")["weighted"].agg(["mean", "std"]).reset_index()
            if len(found):
                _line(axis, found.rename(columns={"index": "nfe"}), label, colours[objective])
        axis.set(title=", ".join(map(str, cell)), yscale="log", xlabel="grid index of t: noise left, data right")
        plain_ticks(axis)
        axis.set_ylabel(r"$w\,\|\delta\|^2$")
    if panels:
        figure.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    figure.suptitle(title)
    return figure


def training_curves(curves: pd.DataFrame, title: str) -> Figure:
    """Loss, base loss, TD loss and gradient norm against images shown; bands are ± one standard deviation."""
    shown = {
        "loss": "minimised loss",
        "base_loss": "formulation's own loss",
        "td_loss": r"$w\,\|\delta\|^2$",
        "grad_norm": "gradient norm",
    }
    figure, axes = plt.subplots(1, len(shown), figsize=(4.4 * len(shown), 3.8), layout="constrained")
    for axis, (column, label) in zip(axes, shown.items(), strict=True):
        data = curves.dropna(subset=[column])
        for objective, colour in zip(curves.objective.unique(), _palette(curves.objective.nunique()), strict=True):
            group = data[data.objective == objective].groupby("kimg")[column].agg(["mean", "std"])
            # A moving mean over ten lines of metrics, because the noise of single batches hides the trend.
            smooth = group.rolling(10, min_periods=1).mean()
            if len(smooth):
                axis.plot(smooth.index, smooth["mean"], label=objective, color=colour)
                std = smooth["std"].fillna(0)
                axis.fill_between(smooth.index, smooth["mean"] - std, smooth["mean"] + std, alpha=0.2, color=colour)
        axis.set(title=label, xlabel="kimg", yscale="log")
        plain_ticks(axis)
    axes[0].legend()
    figure.suptitle(title)
    return figure
