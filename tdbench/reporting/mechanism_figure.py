"""The figure of the mechanism: variance, what remains of it, lag and gradient noise by noise level."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdbench.reporting.cells import number
from tdbench.reporting.collect import PLACE
from tdbench.reporting.figures import colours_for
from tdbench.reporting.findings import Findings
from tdbench.reporting.mechanism import balance, mechanism_table, percent
from tdbench.reporting.tables import objectives

ROWS = {
    "weight": "share of the\ngradient's variance",
    "remaining": "variance\nthat remains",
    "lag": "β² × target's lag",
    "noise": "gradient noise,\nTD over baseline",
}


def mechanism(found: Findings) -> Figure:
    """The mechanism of every formulation that has one."""
    title = f"{found.plan.experiment.name}: what the temporal difference does to the gradient"
    return draw_mechanism(mechanism_table(found), objectives(found.plan), title)


def draw_mechanism(table: pd.DataFrame, names: list[str], title: str) -> Figure:
    """One column of panels for each data set and formulation; noise left, data right.

    Parameters
    ----------
    table : DataFrame
        Result of `mechanism.summarised`.
    names : list of str
        Objectives whose weights are shown, the baseline first.
    """
    cells = list(table.groupby(["dataset", "formulation"], sort=False))
    if not cells:
        figure = plt.figure(figsize=(6, 1.5))
        figure.text(0.5, 0.5, f"{title}: nothing was measured", ha="center", va="center")
        return figure
    figure, axes = plt.subplots(
        len(ROWS),
        len(cells),
        figsize=(4.2 * len(cells) + 1, 2.5 * len(ROWS) + 0.8),
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
    )
    colours = colours_for(names)
    for column, (place, cell) in zip(axes.T, cells, strict=True):
        for name in names:
            rows = cell[cell.objective == name].sort_values("noise_level")
            if len(rows):
                _draw(column, rows, f"weights of {name}", colours[name])
        column[0].set(title=", ".join(map(str, place)))
        column[-1].set(xscale="log", xlabel="σ/α: noise left, data right")
        column[-1].invert_xaxis()
    for axis, label in zip(axes[:, 0], ROWS.values(), strict=True):
        axis.set_ylabel(label)
    for axis in axes[1:2].flat:
        axis.set_ylim(0, None)
        axis.axhline(1, color="grey", linewidth=0.8)
    for axis in axes[3:4].flat:
        axis.axhline(1, color="grey", linewidth=0.8)
    entries = _entries(axes.flat)
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=3)
    figure.suptitle(title)
    return figure


def _draw(column: list[Axes], rows: pd.DataFrame, label: str, colour: object) -> None:
    level, weight = rows.noise_level, rows.share * rows.variance
    curves = {
        "weight": weight / weight.sum(),
        "remaining": rows.remaining,
        "lag": rows.beta**2 * rows.lag,
        "noise": rows.noise_td / rows.noise,
    }
    for axis, values in zip(column, curves.values(), strict=True):
        axis.plot(level, values, marker="o", markersize=3, color=colour, label=label)
    best = 1 - rows.correlation**2
    column[1].plot(level, best, linestyle=":", color=colour, label=f"{label}, best β")


def _entries(axes: Iterable[Axes]) -> dict[str, Artist]:
    """The entries of the legend, each once."""
    found: dict[str, Artist] = {}
    for axis in axes:
        lines, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, lines, strict=True))
    return found


def describe(found: Findings) -> str:
    """Alternative text."""
    parts = []
    for place, rows in mechanism_table(found).groupby(PLACE, sort=False):
        balanced = balance(rows)
        parts.append(
            f"{', '.join(map(str, place))}: half of the variance lies at noise levels from "
            f"{number(balanced.low, 2)} to {number(balanced.high, 2)}, TD removes {percent(balanced.removed)} of it"
        )
    return f"By noise level, means over seeds. {'. '.join(parts)}." if parts else "Nothing was measured."
