"""Figures of samples: grids, and the samples nearest to images of the data."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.reporting.cells import budget
from tdbench.reporting.findings import Findings
from tdbench.sampling.pictures import tile


def _runs(plan: Plan, dataset: str, formulation: str) -> list[Run]:
    """The runs of the first seed, one per objective."""
    wanted = (dataset, formulation, plan.experiment.seeds[0])
    return [run for run in plan.comparison if (run.dataset_name, run.formulation_name, run.seed) == wanted]


def sample_grids(found: Findings, dataset: str, formulation: str) -> Figure:
    """Samples of every objective of the comparison at every step budget: the same noise in the same place."""
    runs = _runs(found.plan, dataset, formulation)
    budgets = runs[0].sampling.steps
    figure, axes = plt.subplots(
        len(runs), len(budgets), figsize=(3.1 * len(budgets), 3.2 * len(runs)), squeeze=False, layout="constrained"
    )
    for axis, steps in zip(axes[0], budgets, strict=True):
        axis.set_title(str(budget(steps)))
    for row, run in zip(axes, runs, strict=True):
        for axis, steps in zip(row, budgets, strict=True):
            _show(axis, np.asarray(tile(found.shown(run).first[steps], columns=7, rows=7)))
        row[0].set_ylabel(run.objective_name)
    seed = found.plan.experiment.seeds[0]
    figure.suptitle(f"{dataset}, {formulation}, seed {seed}: the same noise at every budget and for every objective")
    return figure


def nearest_pairs(found: Findings, dataset: str, formulation: str) -> Figure:
    """For each objective of the comparison, the samples that come nearest to an image of the data, above that image."""
    runs = _runs(found.plan, dataset, formulation)
    images = found.images(dataset).images.transpose(0, 2, 3, 1)
    figure, axes = plt.subplots(len(runs), 1, figsize=(9, 2.1 * len(runs)), squeeze=False, layout="constrained")
    for axis, run in zip(axes[:, 0], runs, strict=True):
        pairs = found.records.of(run).scored.nearest.pairs
        both = np.concatenate([found.shown(run).nearest, images[[pair.image for pair in pairs]]])
        _show(axis, np.asarray(tile(both, columns=len(pairs), rows=2)))
        axis.set_ylabel(run.objective_name)
    seed = found.plan.experiment.seeds[0]
    figure.suptitle(
        f"{dataset}, {formulation}, seed {seed}: samples at the largest budget (above) and the nearest image (below)"
    )
    return figure


def _show(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
