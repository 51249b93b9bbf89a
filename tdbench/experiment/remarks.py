"""Warnings about an experiment that is valid: lines for people, before anything runs."""

import os
from collections.abc import Iterable, Iterator

from tdbench.experiment.extractors import EXTRACTORS
from tdbench.experiment.metrics import left_out
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import FLOORED

SAMPLES_A_FEATURE = 20
"""With fewer samples for each dimension of the features, `floor_remarks` warns."""


def score_remarks(plan: Plan) -> Iterator[str]:
    """Yield a line for each metric that some runs skip, with the reason."""
    few: dict[str, str] = {}
    for run in plan.runs.values():
        for name, reason in left_out(run.evaluation.metrics, run.sampling.images).items():
            few.setdefault(name, f"{reason}; sampling.images is {run.sampling.images}")
    for name, reason in few.items():
        yield f"{plan.path}: evaluation.metrics: {name} is left out: it {reason}"


def floor_remarks(plan: Plan) -> Iterator[str]:
    """Yield a line if so few samples are scored that good samplers could not be told from perfect ones."""
    features = plan.experiment.evaluation.features
    scored = [run for run in plan.runs.values() if FLOORED in run.evaluation.metrics]
    sizes = {run.dataset_name: run.dataset.size(plan.path) for run in scored}
    values = max((side * side * (channels or 1) for side, channels in sizes.values() if side is not None), default=0)
    enough = SAMPLES_A_FEATURE * EXTRACTORS[features].length(values)
    few = {run.sampling.images for run in scored}
    if few and min(few) < enough:
        yield (
            f"{plan.path}: sampling.images: {min(few)}: with so few samples and the "
            f"{enough // SAMPLES_A_FEATURE:,} features of {features} even a perfect sampler has a FID well above "
            "0, and scores near that floor decide nothing; the report shows it. It is low from about "
            f"{enough:,} samples on, and KID has none"
        )


def source_remarks(plan: Plan, names: Iterable[str]) -> Iterator[str]:
    """Yield a line for each data set that is missing, or was found in the working folder only."""
    for name in names:
        dataset = plan.experiment.datasets[name]
        found, where = plan.source_path(name), f"{plan.path}: datasets.{name}.path: {str(dataset.path)!r}"
        if found is None or dataset.path is None:
            continue
        beside = plan.path.parent / dataset.path
        if not found.exists():
            also = "" if beside.absolute() == dataset.path.absolute() else f" and for {dataset.path.absolute()}"
            yield f"{where}: no such file or folder; looked for {beside.absolute()}{also}"
        elif found != beside:
            written = os.path.relpath(found.absolute(), plan.path.parent.absolute())
            remark = "found in the working folder, not beside the experiment file; relative to that file it is"
            yield f"{where}: {remark} {written}"
