"""Which sample sets a run has, and what each depends on."""

from typing import NamedTuple

from tdbench.experiment.run import Run
from tdbench.records.schema import Settings


class SampleJob(NamedTuple):
    """A sample set of a run."""

    images: int
    """Images shown at the snapshot."""
    steps: int
    """Step budget."""
    samples: int
    """Number of samples."""


def sample_jobs(run: Run) -> tuple[list[SampleJob], list[SampleJob]]:
    """The sample sets of the scored snapshots and those of the curve, each by snapshot and step budget."""
    scored, curve, sampling = run.scored_snapshots(), run.curve_snapshots, run.sampling
    return (
        [SampleJob(images, steps, sampling.images) for images in scored for steps in sampling.steps],
        [SampleJob(images, steps, run.curve_images) for images in curve for steps in run.curve_steps],
    )


def sample_key(run: Run, snapshot: str, steps: int, count: int) -> Settings:
    """The settings and inputs on which a sample set depends.

    Parameters
    ----------
    snapshot : str
        SHA-256 of the weights.
    count : int
        Number of samples.
    """
    return {
        "snapshot": snapshot,
        "sampler": run.sampling.sampler.model_dump(mode="json"),
        "steps": steps,
        "images": count,
        "classes": run.sampling.classes,
        "seed": run.seed,
        "formulation": run.formulation.model_dump(mode="json", by_alias=True),
    }
