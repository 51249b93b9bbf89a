"""What an experiment takes, before anything is run."""

from tdbench.experiment import Plan, Run

# Jobs of the workflow besides the three of each run: data, classifier and references of each data set; then the
# comparison, the ablations, the page and the tracking.
JOBS_PER_DATASET, JOBS_PER_RUN, JOBS_OF_REPORT = 3, 3, 3
# Heun's method; the samples' own records hold what was counted.
_NFE = {"heun": lambda steps: 2 * steps - 1}


def sampled_images(run: Run) -> int:
    return len(run.scored_snapshots()) * len(run.sampling.steps) * run.sampling.images


def sampling_evaluations(run: Run) -> int:
    """Network evaluations (images x NFE) of all of a run's samples."""
    nfe = sum(_NFE[run.sampling.sampler](steps) for steps in run.sampling.steps)
    return len(run.scored_snapshots()) * run.sampling.images * nfe


def training_evaluations(run: Run) -> tuple[int, int]:
    """Images through the trained network (forward and backward) and through the target network (forward)."""
    shown = run.training.images_at(run.training.steps)
    return shown, shown if run.objective.kind == "td" else 0


def describe_plan(plan: Plan) -> str:
    """Runs, jobs, images, network evaluations and disk, as text."""
    runs, sets = list(plan.runs.values()), len(plan.experiment.datasets)
    trained, target = (sum(column) for column in zip(*map(training_evaluations, runs), strict=True))
    jobs = JOBS_PER_DATASET * sets + JOBS_PER_RUN * len(runs) + JOBS_OF_REPORT + bool(plan.ablations)
    lines = [f"{plan.path}: {len(runs)} runs"]
    lines += [f"  {run.name}" for run in runs]
    lines += [
        f"jobs                      {jobs:>15,}",
        f"images shown in training  {trained:>15,}   (forward and backward)",
        f"target network            {target:>15,}   images forward",
        f"images sampled            {sum(map(sampled_images, runs)):>15,}",
        f"network evaluations       {sum(map(sampling_evaluations, runs)):>15,}   in sampling (images x NFE)",
        f"disk, MB                  {sum(map(_disk_bytes, runs)) / 1e6:>15,.0f}   snapshots, samples; {_assumed(plan)}",
    ]
    return "\n".join(lines)


def _assumed(plan: Plan) -> str:
    """The size of images that the disk is reckoned with; data need not be at hand to plan."""
    from tdbench.networks import NOMINAL

    resolution, channels = NOMINAL[plan.experiment.network]
    return f"for images of {resolution}x{resolution}x{channels} and 10 classes"


def _disk_bytes(run: Run) -> int:
    """Snapshots (float32 weights) and samples (uint8), for the images that the network is meant for."""
    from tdbench.networks import NETWORKS, NOMINAL, count_parameters

    resolution, channels = NOMINAL[run.network]
    weights = 4 * count_parameters(NETWORKS[run.network](channels, resolution, 10))
    return len(run.training.snapshot_steps()) * weights + sampled_images(run) * resolution**2 * channels
