"""What an experiment takes, before anything is run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tdbench.diffusion.samplers import count_evaluations
from tdbench.experiment.extractors import EXTRACTORS, OWN
from tdbench.experiment.run import Plan, Run
from tdbench.networks import NOMINAL, forward_flops, nominal_parameters
from tdbench.workflow.batches import batches

# Jobs of the workflow besides those of the batches: the published weights, Inception's and LPIPS's; data and references
# of each data set (and its classifier, where that is what extracts the features); then the comparison, the ablations,
# the page and the tracking.
JOBS_OF_REPORT = 3

# A backward pass computes the gradients of activations and of weights, each as much work as the forward pass; the
# counter of PyTorch gives a factor of 3.000 for the two passes of every network here.
FORWARD_AND_BACKWARD = 3


@dataclass(frozen=True)
class Throughput:
    """Floating-point operations that a machine sustains in this work."""

    tflops: float | Mapping[str, float]
    """1e12 a second: of every network, or by the network's name."""
    origin: str
    """Where the figure is from."""
    hours: str = "GPU hours"
    """What hours at that speed are."""

    def of(self, network: str) -> float:
        """1e12 operations a second in a network."""
        return self.tflops if isinstance(self.tflops, float) else self.tflops[network]

    def describe(self, networks: Iterable[str]) -> str:
        """The figures of these networks and where they are from."""
        rates = {f"{self.of(name):.3g}": name for name in networks}
        several = [f"{rate} ({name})" if len(rates) > 1 else rate for rate, name in rates.items()]
        return f"at {', '.join(several)} TFLOP/s {self.origin}"


GPUS_OF_THE_PAPER = 4
"""What the commands of the paper's released code start; that its training times are of as many is an assumption."""
PUBLISHED = Throughput(
    50e3 * FORWARD_AND_BACKWARD * forward_flops("ddpmpp", 32) / 45.7 / GPUS_OF_THE_PAPER / 1e12,
    "(one GPU of the paper's machine: EDM on CIFAR-10, 50 kimg in 45.7 s, assuming the four GPUs of its released "
    "commands; use --tflops or --measure for your GPU)",
)
"""From the training time that the paper reports for EDM; its DDPM++ takes 42.4 GFLOP an image."""


@dataclass(frozen=True)
class Budget:
    """What runs take; sums of what each takes."""

    trained: int
    """Images through the trained network, forward and backward."""
    target: int
    """Images through the target network, forward."""
    sampled: int
    """Images sampled."""
    evaluations: int
    """Network evaluations in sampling, images x NFE, NFE counted on a pixel."""
    training_flops: float
    """Floating-point operations of training."""
    sampling_flops: float
    """Floating-point operations of sampling."""
    disk: int
    """Bytes: snapshots and sample sets."""

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


NOTHING = Budget(0, 0, 0, 0, 0.0, 0.0, 0)


def run_budget(run: Run) -> Budget:
    """What one run takes; its training counts only where it is its own."""
    resolution, channels = image_size(run)
    flops = forward_flops(run.network.kind, resolution)
    snapshots, sampling = len(run.scored_snapshots()), run.sampling
    sampled = snapshots * len(sampling.steps) * sampling.images
    nfe = sum(count_evaluations(sampling.sampler, run.formulation, steps) for steps in sampling.steps)
    evaluations = snapshots * sampling.images * nfe
    samples = Budget(0, 0, sampled, evaluations, 0.0, flops * evaluations, sampled * resolution**2 * channels)
    if run.trained_as is not None:
        return samples
    trained = run.training.images_at(run.training.steps)
    target = 0 if run.objective.target_rule(run.formulation) is None else trained
    # Snapshots: float32 weights.
    weights = len(run.training.snapshot_steps()) * 4 * nominal_parameters(run.network.kind, resolution)
    operations = flops * (FORWARD_AND_BACKWARD * trained + target) + 1e9 * run.formulation.loss_gflops * trained
    return samples + Budget(trained, target, 0, 0, operations, 0.0, weights)


def describe_plans(plans: list[Plan], throughput: Throughput = PUBLISHED) -> str:
    """Runs, jobs, images, network evaluations, GPU hours and disk of experiments, as text; then their sum."""
    blocks = [_describe(f"{plan.path}: ", [plan], throughput, names=len(plans) == 1) for plan in plans]
    if len(plans) > 1:
        blocks.append(_describe(f"all {len(plans)} experiments: ", plans, throughput, names=False))
    return "\n\n".join(blocks)


def _describe(title: str, plans: list[Plan], throughput: Throughput, names: bool) -> str:
    runs = [run for plan in plans for run in plan.runs.values()]
    budgets = [(run_budget(run), throughput.of(run.network.kind) * 1e12 * 3600) for run in runs]
    total = sum((budget for budget, _ in budgets), NOTHING)
    training = sum(budget.training_flops / an_hour for budget, an_hour in budgets)
    sampling = sum(budget.sampling_flops / an_hour for budget, an_hour in budgets)
    lines = [f"{title}{len(runs)} runs, {sum(run.trained_as is None for run in runs)} of them trained"]
    if names:
        lines += [f"  {r.name}" + (f"   (weights of {r.trained_as})" if r.trained_as else "") for r in runs]
    lines += [
        f"jobs                      {_jobs(plans):>15,}",
        f"images shown in training  {total.trained:>15,}   (forward and backward)",
        f"target network            {total.target:>15,}   images forward",
        f"images sampled            {total.sampled:>15,}",
        f"network evaluations       {total.evaluations:>15,}   in sampling (images x NFE)",
        f"{throughput.hours:<24} {_hours(training + sampling):>15}   training {_hours(training)}, sampling "
        f"{_hours(sampling)}, {throughput.describe(run.network.kind for run in runs)}",
        f"disk, MB                  {total.disk / 1e6:>15,.0f}   snapshots, samples; {_assumed(runs)}",
    ]
    return "\n".join(lines)


def _hours(value: float) -> str:
    """Hours; where these are a small part of one, minutes or seconds with their unit."""
    if value >= 0.1:
        return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    if value * 60 >= 0.95:
        return f"{value * 60:.2g} min"
    return "< 0.1 s" if value * 3600 < 0.1 else f"{value * 3600:.2g} s"


def _jobs(plans: list[Plan]) -> int:
    """Jobs of the workflow; what several experiments need of a data set is made once."""
    sets = {name for plan in plans for name in plan.experiment.datasets}
    trained = [plan for plan in plans if EXTRACTORS[plan.experiment.evaluation.features].trained_on_data]
    classifiers = len({name for plan in trained for name in plan.experiment.datasets})
    references = {
        (run.dataset_name, run.evaluation.features, library if run.evaluation.features in OWN else "all")
        for plan in plans
        for run in plan.runs.values()
        for library in run.evaluation.libraries
    }
    weights = any(run.evaluation.publishers for plan in plans for run in plan.runs.values())
    distance = any(run.published_distance for plan in plans for run in plan.runs.values())
    count = len(sets) + len(references) + classifiers + weights + distance
    for plan in plans:
        of_runs = batches(plan).values()
        count += sum(1 for batch in of_runs if batch.trainings) + 2 * len(of_runs)
        count += JOBS_OF_REPORT + bool(plan.ablations)
    return count


def image_size(run: Run) -> tuple[int, int]:
    """Resolution and channels: the data set's where they are known beforehand, else what the network is meant for."""
    known, meant = run.dataset.size(run.file), NOMINAL[run.network.kind]
    return known[0] or meant[0], known[1] or meant[1]


def _assumed(runs: Iterable[Run]) -> str:
    """The image sizes that the plan assumes; planning needs no data."""
    sizes = sorted({image_size(run) for run in runs})
    return f"for images of {', '.join(f'{r}x{r}x{c}' for r, c in sizes)}"
