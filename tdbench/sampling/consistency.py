"""Measuring a trained run's cross-time consistency on its data, part of the stage that samples."""

from dataclasses import asdict

import torch

from tdbench.data.archive import read_archive
from tdbench.data.loading import Batches
from tdbench.diffusion.consistency import IMAGES, POINTS, YARDSTICK, has_yardstick, residuals
from tdbench.diffusion.preconditioning import Condition
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.schema import Consistency, ResidualAt
from tdbench.records.stored import Records
from tdbench.records.weights import load_snapshot
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
    records, archive = Records(layout.results).of(run), read_archive(files.archive)
    denoiser = build_denoiser(run, records.trained.data, seed=0).to(device).eval()
    load_snapshot(layout.snapshot(run.scored_snapshots()[-1]), denoiser, records.command("train"))
    batches = Batches(archive, min(IMAGES, len(archive.images)), run.seed, device)
    batch = batches.at(0)
    batches.close()
    with without_gradient(device):
        found = residuals(
            denoiser,
            run.formulation.at(run.last_share),
            batch.images,
            Condition(batch.labels),
            POINTS,
            generator(run.seed, "consistency"),
        )
    mean, weighted = (
        sum(values) / len(found) for values in zip(*((p.squared, p.weighted) for p in found), strict=True)
    )
    if not torch.tensor([mean, weighted]).isfinite().all():
        raise TdbenchError(f"{run.name}: its residuals are not finite: {found}; the training diverged")
    content = Consistency(
        key=records.consistency_key,
        images=len(batch.images),
        yardstick=YARDSTICK,
        residuals=[ResidualAt(**asdict(point)) for point in found],
        mean=mean,
        weighted_mean=weighted,
        provenance=provenance(),
    )
    write_json(layout.consistency, content)
