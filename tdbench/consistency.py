"""Measuring a trained run's cross-time consistency on its data, part of the stage that samples."""

from dataclasses import asdict
from typing import Any

import torch

from tdbench import advice
from tdbench.data.archive import read_archive
from tdbench.data.loading import Batches
from tdbench.device import choose_device, without_gradient
from tdbench.diffusion.consistency import YARDSTICK, has_yardstick, residuals
from tdbench.diffusion.preconditioning import Condition
from tdbench.errors import TdbenchError
from tdbench.files import write_json
from tdbench.layout import DatasetLayout, RunLayout
from tdbench.provenance import provenance, same_code
from tdbench.records import Consistency, Finished, read_record
from tdbench.run import Run
from tdbench.sampling import read_trained
from tdbench.seeds import generator
from tdbench.training.snapshots import load_snapshot
from tdbench.training.state import build_denoiser

IMAGES, POINTS = 128, 12
"""Images of the data, and times of the grid."""


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
            denoiser, _at_the_end(run), batch.images, Condition(batch.labels), POINTS,
            generator(run.seed, "consistency"),
        )  # fmt: skip
    content = {
        "key": _key(run, layout), "images": len(batch.images), "yardstick": YARDSTICK,
        "residuals": [asdict(point) for point in found],
        "mean": sum(point.squared for point in found) / len(found),
        "weighted_mean": sum(point.weighted for point in found) / len(found),
        "provenance": provenance(),
    }  # fmt: skip
    if not torch.tensor([content["mean"], content["weighted_mean"]]).isfinite().all():
        raise TdbenchError(f"{run.name}: its residuals are not finite: {found}; the training diverged")
    write_json(layout.consistency, content)


def _at_the_end(run: Run) -> Any:
    """The formulation as in the last step of training."""
    return run.formulation.at((run.training.steps - 1) / run.training.steps)


def _key(run: Run, layout: RunLayout) -> dict[str, Any]:
    """What the figures depend on."""
    entries = read_record(layout.snapshots, advice.stage("train", run, layout.results), Finished)["snapshots"]
    last = run.scored_snapshots()[-1]
    snapshot = next((entry["sha256"] for entry in entries if entry["images"] == last), None)
    return {
        "snapshot": snapshot, "seed": run.seed, "images": IMAGES, "points": POINTS,
        "formulation": run.formulation.model_dump(mode="json", by_alias=True),
    }  # fmt: skip


def read_consistency(run: Run, layout: RunLayout) -> dict[str, Any] | None:
    """What `measure_consistency` wrote of a run; None where there is nothing to measure.

    Raises
    ------
    TdbenchError
        If it is missing, damaged, or of another snapshot or other settings.
    """
    if not has_yardstick(run.formulation):
        return None
    command = advice.stage("sample", run, layout.results)
    content = read_record(layout.consistency, command, Consistency)
    if content.get("key") != _key(run, layout):
        raise TdbenchError(f"{layout.consistency}: of another snapshot or other settings; run `{command}` again")
    return content


def consistency_measured(run: Run, layout: RunLayout) -> bool:
    """Whether it is stored, whole and by this very code; raises as `read_consistency` does."""
    content = read_consistency(run, layout)
    return content is None or same_code(content["provenance"])
