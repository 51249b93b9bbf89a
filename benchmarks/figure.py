"""Plots the ratios."""

from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.groups import GROUPS
from benchmarks.measure import Row
from tdbench.reporting.figures import save_figure

DRAWN = (0.01, 100.0)
"""Range of the plot; ratios outside are only in the table."""


def draw(rows: list[Row], path: Path) -> None:
    """Plot a dot per ratio of time or memory with its spread, a panel per group, a line at 1, and marks at targets."""
    groups = {g: own for g in GROUPS if (own := [row for row in rows if row.group == g and _drawn(row)])}
    figure, panels = plt.subplots(
        max(len(groups), 1),
        1,
        squeeze=False,
        sharex=True,
        layout="constrained",
        figsize=(9, 1 + sum(0.5 + 0.26 * len(own) for own in groups.values())),
        height_ratios=[1 + len(own) for own in groups.values()] or [1],
    )
    for axes, (group, own) in zip(panels[:, 0], groups.items(), strict=False):
        for place, row in enumerate(own):
            colour = "C3" if row.missed else "C0"
            axes.plot([row.low, row.high], [place, place], color=colour, lw=2)
            axes.plot(row.ratio, place, "o", color=colour, ms=5)
            if row.at_most is not None:
                axes.plot(row.at_most, place, "|", color="black", ms=13, mew=2)
        axes.axvline(1, color="grey", lw=1)
        axes.set(title=GROUPS[group][0], xscale="log", ylim=(len(own) - 0.4, -0.6))
        axes.set_yticks(range(len(own)), [row.name for row in own], fontsize=9)
        axes.title.set(fontsize=10, ha="right", position=(1, 1))
    ticks = [0.05, 0.1, 0.2, 0.5, 0.7, 1, 1.33, 2, 5]
    panels[-1, 0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[-1, 0].minorticks_off()
    panels[-1, 0].set_xlabel("ratio, with its spread; black marks are targets (at most)")
    save_figure(figure, [path])


def _drawn(row: Row) -> bool:
    return row.kind in ("time", "memory") and DRAWN[0] <= row.ratio <= DRAWN[1]
