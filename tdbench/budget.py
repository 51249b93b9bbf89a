"""What an experiment takes, before anything is run."""

from tdbench.data.sources import SOURCES
from tdbench.diffusion.samplers import count_evaluations
from tdbench.networks import NOMINAL, PARAMETERS
from tdbench.plan import Plan, Run

# Jobs of the workflow besides those of each run: data and references of each data set (and its classifier, where
# that is what extracts the features); then the comparison, the ablations, the page and the tracking.
JOBS_PER_DATASET, JOBS_OF_REPORT = 2, 3


def sampled_images(run: Run) -> int:
    return len(run.scored_snapshots()) * len(run.sampling.steps) * run.sampling.images


def sampling_evaluations(run: Run) -> int:
    """Network evaluations (images x NFE) of all of a run's samples, NFE counted on a pixel."""
    nfe = sum(count_evaluations(run.sampling.sampler, run.formulation, steps) for steps in run.sampling.steps)
    return len(run.scored_snapshots()) * run.sampling.images * nfe


def training_evaluations(run: Run) -> tuple[int, int]:
    """Images through the trained network (forward and backward) and through the target network (forward)."""
    shown = run.training.images_at(run.training.steps)
    return shown, 0 if run.objective.target_rule(run.formulation) is None else shown


def describe_plan(plan: Plan) -> str:
    """Runs, jobs, images, network evaluations and disk, as text."""
    runs, sets = list(plan.runs.values()), len(plan.experiment.datasets)
    trainings = [run for run in runs if run.trained_as is None]
    trained, target = (sum(column) for column in zip(*map(training_evaluations, trainings), strict=True))
    per_dataset = JOBS_PER_DATASET + (plan.experiment.evaluation.features == "classifier")
    jobs = per_dataset * sets + len(trainings) + 2 * len(runs) + JOBS_OF_REPORT + bool(plan.ablations)
    disk = sum(map(_weights_bytes, trainings)) + sum(map(_samples_bytes, runs))
    lines = [f"{plan.path}: {len(runs)} runs, {len(trainings)} of them trained"]
    lines += [f"  {run.name}" + (f"   (weights of {run.trained_as})" if run.trained_as else "") for run in runs]
    lines += [
        f"jobs                      {jobs:>15,}",
        f"images shown in training  {trained:>15,}   (forward and backward)",
        f"target network            {target:>15,}   images forward",
        f"images sampled            {sum(map(sampled_images, runs)):>15,}",
        f"network evaluations       {sum(map(sampling_evaluations, runs)):>15,}   in sampling (images x NFE)",
        f"disk, MB                  {disk / 1e6:>15,.0f}   snapshots, samples; {_assumed(runs)}",
    ]
    return "\n".join(lines)


def _image_size(run: Run) -> tuple[int, int]:
    """Resolution and channels: the data set's where they are known beforehand, else what the network is meant for."""
    source, (resolution, channels) = SOURCES[run.dataset.source], NOMINAL[run.network.kind]
    if source.nominal is not None:
        resolution, channels = source.nominal.resolution, source.nominal.channels
    return run.dataset.resolution or resolution, channels


def _assumed(runs: list[Run]) -> str:
    """The sizes of images that the disk is reckoned with; data need not be at hand to plan."""
    sizes = sorted({_image_size(run) for run in runs})
    return f"for images of {', '.join(f'{r}x{r}x{c}' for r, c in sizes)}"


def _weights_bytes(run: Run) -> int:
    """Snapshots: float32 weights at the network's nominal size."""
    return len(run.training.snapshot_steps()) * 4 * PARAMETERS[run.network.kind]


def _samples_bytes(run: Run) -> int:
    """Sample sets: uint8."""
    resolution, channels = _image_size(run)
    return sampled_images(run) * resolution**2 * channels
