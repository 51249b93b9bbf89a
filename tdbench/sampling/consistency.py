"""Measuring a trained run's cross-time consistency on its data, part of the stage that samples."""

from dataclasses import asdict
from typing import Any

import torch

from tdbench.data.archive import read_archive
from tdbench.data.loading import Batches
from tdbench.diffusion.consistency import IMAGES, POINTS, YARDSTICK, has_yardstick, residuals
from tdbench.diffusion.preconditioning import Condition
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import consistency_key, read_trained
from tdbench.records.weights import load_snapshot
from tdbench.runtime import advice
from tdbench.runtime.device import choose_device, without_gradient
from tdbench.runtime.files import write_json
from tdbench.runtime.provenance import provenance
from tdbench.seeds import generator
from tdbench.training.state import build_denoiser


def measure_consistency(run: Run, layout: RunLayout, files: DatasetLayout) -> None:
    """Write consistency.json: the residual of the last snapshot, averaged weights, with itself.

    Runs of one seed see the same images and noise. Nothing is written for a formulation that the temporal difference
    has no settings for.
    """
    if not has_yardstick(run.formulation):
        return
    device = choose_device(run.training.device, run.training.threads)
    trained, archive = read_trained(run, layout), read_archive(files.archive)
    denoiser = build_denoiser(run, trained["data"], seed=0).to(device).eval()
    command = advice.stage("train", run, layout.results)
    load_snapshot(layout.snapshot(run.scored_snapshots()[-1]), denoiser, command)
    batches = Batches(archive, min(IMAGES, len(archive.images)), run.seed, device)
    batch = batches.at(0)
    batches.close()
    with without_gradient(device):
        found = residuals(
            denoiser,
            _at_the_end(run),
            batch.images,
            Condition(batch.labels),
            POINTS,
            generator(run.seed, "consistency"),
        )
    content = {
        "key": consistency_key(run, layout),
        "images": len(batch.images),
        "yardstick": YARDSTICK,
        "residuals": [asdict(point) for point in found],
        "mean": sum(point.squared for point in found) / len(found),
        "weighted_mean": sum(point.weighted for point in found) / len(found),
        "provenance": provenance(),
    }
    if not torch.tensor([content["mean"], content["weighted_mean"]]).isfinite().all():
        raise TdbenchError(f"{run.name}: its residuals are not finite: {found}; the training diverged")
    write_json(layout.consistency, content)


def _at_the_end(run: Run) -> Any:
    """The formulation as in the last step of training."""
    return run.formulation.at((run.training.steps - 1) / run.training.steps)
