"""Plots wall time against the number of GPUs, and the GPUs in use over time."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.scaling.simulate import Outcome
from benchmarks.scaling.table import Row
from tdbench.reporting.figures import save_figure

DAY = 86400.0
MARKERS = "osD^v"


def draw(rows: list[Row], path: Path) -> None:
    """Plot a panel per GPU speed above, and below it the GPUs in use for the second-largest number of GPUs."""
    speeds = list(dict.fromkeys(row.throughput for row in rows))
    figure, panels = plt.subplots(2, len(speeds), squeeze=False, layout="constrained", figsize=(5.5 * len(speeds), 7.5))
    for column, speed in enumerate(speeds):
        own = [row for row in rows if row.throughput == speed]
        _wall_time(panels[0, column], own)
        panels[0, column].set_title(f"{speed.of('ddpmpp'):.3g} TFLOP/s a GPU")
        counts = sorted({row.outcome.gpus for row in own})
        _in_use(panels[1, column], own, counts[max(0, len(counts) - 2)])
    save_figure(figure, [path])


def _wall_time(axes: Axes, rows: list[Row]) -> None:
    for place, name in enumerate(dict.fromkeys(row.setting.name for row in rows)):
        own = sorted((r.outcome for r in rows if r.setting.name == name), key=lambda outcome: outcome.gpus)
        gpus, days = [o.gpus for o in own], [o.wall_s / DAY for o in own]
        axes.plot(gpus, days, f"{MARKERS[place]}-", color=f"C{place}", label=name)
        axes.axhline(min(o.critical_s for o in own) / DAY, color=f"C{place}", ls=":", lw=1)
    least = min((row.outcome for row in rows), key=lambda outcome: outcome.gpu_s)
    gpus = sorted({row.outcome.gpus for row in rows})
    axes.plot(
        gpus, [least.gpu_s / DAY / count for count in gpus], color="grey", ls="--", lw=1, label="GPU hours / GPUs"
    )
    axes.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="wall time, days")
    axes.set_xticks(gpus, [f"{count:,}" for count in gpus])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    ticks = [tick for tick in (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000) if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, title="dotted: the longest chain", title_fontsize=9)


def _in_use(axes: Axes, rows: list[Row], gpus: int) -> None:
    for place, name in enumerate(dict.fromkeys(row.setting.name for row in rows)):
        for outcome in (r.outcome for r in rows if r.setting.name == name and r.outcome.gpus == gpus):
            times, used = in_use(outcome)
            axes.step(times / DAY, used, where="post", color=f"C{place}", lw=1.3)
    axes.set(xlabel="days", ylabel=f"of {gpus:,} GPUs in use", ylim=(0, gpus * 1.05), xlim=(0, None))
    axes.grid(alpha=0.3)


def in_use(outcome: Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Return the times at which GPUs are taken or released, in s, and how many are in use from then on."""
    changes = [(job.begun, job.gpus) for job in outcome.jobs] + [(job.ended, -job.gpus) for job in outcome.jobs]
    times = np.array(sorted({time for time, _ in changes}))
    used = np.zeros(len(times))
    np.add.at(used, np.searchsorted(times, [time for time, _ in changes]), [count for _, count in changes])
    return times, np.cumsum(used)
