"""Are samples copies of training images: a table of shares, and pictures of the nearest pairs."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tdbench.data.archive import read_archive
from tdbench.experiment.run import Plan, Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import read_nearest, sample_set_of
from tdbench.reporting.tables import budget, number, spread
from tdbench.sampling.pictures import tile


def nearest_table(runs: list[Run], results: Path) -> pd.DataFrame:
    """One row a data set, formulation and objective: the share of samples that lie near an image of the data."""
    rows = []
    for run in runs:
        found = read_nearest(run, RunLayout(results, run))
        rows.append(
            {
                "dataset": run.dataset_name,
                "formulation": run.formulation_name,
                "objective": run.objective_name,
                "steps": found["steps"],
                "samples": found["samples"],
                "share": found["share"],
                "nearest": found["pairs"][0]["distance"] / found["threshold"] if found["threshold"] else np.nan,
            }
        )
    keys = ["dataset", "formulation", "objective", "steps", "samples"]
    grouped = pd.DataFrame(rows).groupby(keys, sort=False)
    return grouped.agg(
        share=("share", "mean"), share_std=("share", "std"), nearest=("nearest", "min"), n=("share", "count")
    ).reset_index()


def readable_nearest(table: pd.DataFrame) -> pd.DataFrame:
    """`nearest_table` as people read it."""
    shares = zip(100 * table.share, 100 * table.share_std, strict=True)
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "budget": table.steps.map(budget),
            "samples": table.samples,
            "near an image, %": [spread(mean, std) for mean, std in shares],
            "nearest of all, × near": ["—" if pd.isna(x) else number(x, 2) for x in table.nearest],
            "n": table.n,
        }
    )


def nearest_pairs(plan: Plan, results: Path, dataset: str, formulation: str) -> Figure:
    """For each objective of the comparison, the samples that come nearest to an image of the data, above that image."""
    seed = plan.experiment.seeds[0]
    runs = [r for r in plan.comparison if (r.dataset_name, r.formulation_name, r.seed) == (dataset, formulation, seed)]
    images = read_archive(DatasetLayout(results, dataset).archive).images.transpose(0, 2, 3, 1)
    figure, axes = plt.subplots(len(runs), 1, figsize=(9, 2.1 * len(runs)), squeeze=False, layout="constrained")
    for axis, run in zip(axes[:, 0], runs, strict=True):
        found = read_nearest(run, RunLayout(results, run))
        axis.imshow(_above(found, run, results, images), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set(xticks=[], yticks=[], ylabel=run.objective_name)
        axis.grid(visible=False)
    figure.suptitle(
        f"{dataset}, {formulation}, seed {seed}: samples at the largest budget (above) and the nearest image (below)"
    )
    return figure


def _above(found: dict[str, Any], run: Run, results: Path, images: np.ndarray) -> np.ndarray:
    pixels = sample_set_of(run, RunLayout(results, run), found["snapshot_images"], found["steps"])
    pairs = found["pairs"]
    shown = np.concatenate([pixels[[p["sample"] for p in pairs]], images[[p["image"] for p in pairs]]])
    return np.asarray(tile(shown, columns=len(pairs), rows=2))
