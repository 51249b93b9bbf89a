"""Figures, each as PNG and SVG."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdbench.experiment import Plan, Run
from tdbench.files import atomic_path
from tdbench.layout import RunLayout
from tdbench.reporting.statistics import summarise
from tdbench.sampling import read_samples, tile

# Text stays text, and the same figure gives the same bytes.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tdbench", "figure.dpi": 110})
sns.set_theme(style="whitegrid", palette="colorblind", context="notebook")


def save_figure(figure: Figure, paths: list[Path]) -> None:
    for path in paths:
        with atomic_path(path) as temporary:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(temporary, bbox_inches="tight", metadata=metadata)
    plt.close(figure)


def fid_against_nfe(per_run: pd.DataFrame, labels: dict[str, str], title: str) -> Figure:
    """FID against NFE, a panel for each data set, formulation and library; bands are mean ± one standard deviation.

    Parameters
    ----------
    labels : dict
        Objective name -> what the legend calls it; others are left out. Their order is that of the legend.
    """
    means = summarise(per_run[(per_run.metric == "fid") & per_run.objective.isin(labels)])
    panels = list(means.groupby(["dataset", "formulation", "library"], sort=False))
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.2), squeeze=False, sharey=True)
    for axis, ((dataset, formulation, library), panel) in zip(axes[0], panels, strict=True):
        for (objective, label), colour in zip(labels.items(), sns.color_palette("colorblind"), strict=False):
            _line(axis, panel[panel.objective == objective].sort_values("nfe"), "nfe", label, colour)
        axis.set(title=f"{dataset}, {formulation}, {library}", xlabel="NFE (network evaluations)", yscale="log")
        axis.set_xticks(sorted(panel.nfe.unique()), minor=False)
    axes[0][0].set_ylabel(f"FID on {means.features.iloc[0]} features (lower is better)")
    axes[0][-1].legend()
    figure.suptitle(title)
    return figure


def _line(axis: Axes, data: pd.DataFrame, x: str, label: str, colour: object) -> None:
    n = int(data["n"].max()) if len(data) else 0
    axis.plot(data[x], data["mean"], marker="o", markersize=4, label=f"{label} (n = {n})", color=colour)
    std = data["std"].fillna(0)
    axis.fill_between(
        data[x], (data["mean"] - std).clip(lower=data["mean"] * 1e-2), data["mean"] + std, alpha=0.25, color=colour
    )


def training_curves(curves: pd.DataFrame, title: str) -> Figure:
    """Loss, base loss, TD loss and gradient norm against images shown; bands are ± one standard deviation."""
    shown = {
        "loss": "what is minimised", "base_loss": "formulation's own loss", "td_loss": r"$w\,\|\delta\|^2$",
        "grad_norm": "gradient norm",
    }  # fmt: skip
    figure, axes = plt.subplots(1, len(shown), figsize=(4.4 * len(shown), 3.6))
    for axis, (column, label) in zip(axes, shown.items(), strict=True):
        data = curves.dropna(subset=[column])
        for objective, colour in zip(curves.objective.unique(), sns.color_palette("colorblind"), strict=False):
            group = data[data.objective == objective].groupby("kimg")[column].agg(["mean", "std"])
            # A moving mean over ten lines of metrics: single batches hide the trend.
            smooth = group.rolling(10, min_periods=1).mean()
            if len(smooth):
                axis.plot(smooth.index, smooth["mean"], label=objective, color=colour)
                std = smooth["std"].fillna(0)
                axis.fill_between(smooth.index, smooth["mean"] - std, smooth["mean"] + std, alpha=0.2, color=colour)
        axis.set(title=label, xlabel="kimg", yscale="log")
    axes[0].legend()
    figure.suptitle(title)
    figure.tight_layout()
    return figure


def sample_grids(plan: Plan, results: Path, dataset: str, formulation: str) -> Figure:
    """Samples of every objective of the comparison at every step budget: the same noise in the same place."""
    seed = plan.experiment.seeds[0]
    runs = [r for r in plan.comparison if (r.dataset_name, r.formulation_name, r.seed) == (dataset, formulation, seed)]
    budgets = plan.experiment.sampling.steps
    figure, axes = plt.subplots(len(runs), len(budgets), figsize=(3.1 * len(budgets), 3.3 * len(runs)), squeeze=False)
    for row, run in zip(axes, runs, strict=True):
        for axis, steps in zip(row, budgets, strict=True):
            _grid(axis, run, RunLayout(results, run), steps)
        row[0].set_ylabel(run.objective_name)
    figure.suptitle(f"{dataset}, {formulation}, seed {seed}: the same noise at every budget and for every objective")
    figure.tight_layout()
    return figure


def _grid(axis: Axes, run: Run, layout: RunLayout, steps: int) -> None:
    pixels = read_samples(layout.sample_set(run.scored_snapshots()[-1], steps))
    axis.imshow(np.asarray(tile(pixels, columns=7, rows=7)), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set(title=f"{steps} steps", xticks=[], yticks=[])
    axis.grid(visible=False)
