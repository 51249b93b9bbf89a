"""Estimates of what an experiment costs, before anything runs."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tdbench.diffusion.samplers import count_evaluations
from tdbench.experiment.equal_passes import step_passes
from tdbench.experiment.extractors import EXTRACTORS, LIBRARY_SPECIFIC
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.networks import NOMINAL, forward_flops, nominal_parameters
from tdbench.records.sample_sets import sample_jobs
from tdbench.workflow.batches import batches

# Besides the batches, the workflow has jobs for the published weights (Inception, LPIPS), for each data set (archive,
# references, and the classifier if it extracts the features), and for the comparison, the ablations, the page and the
# tracking. This constant counts the comparison, the page and the tracking; not every experiment has ablations.
JOBS_OF_REPORT = 3

# A backward pass computes the gradients of activations and of weights; each costs as much as the forward pass.
# PyTorch's FLOP counter gives a factor of 3.000 for forward and backward with every network here.
FORWARD_AND_BACKWARD = 3


@dataclass(frozen=True)
class Throughput:
    """Floating-point throughput that a machine sustains in training."""

    tflops: float | Mapping[str, float]
    """TFLOP/s, for every network or by the name of the network."""
    origin: str
    """The source of the figure."""
    hours: str = "GPU hours"
    """What to call hours at this speed."""

    def of(self, network: str) -> float:
        """Return the TFLOP/s for a network."""
        return self.tflops if isinstance(self.tflops, float) else self.tflops[network]

    def describe(self, networks: Iterable[str]) -> str:
        """Return the figures for these networks and their source, as text."""
        rates = {f"{self.of(name):.3g}": name for name in networks}
        several = [f"{rate} ({name})" if len(rates) > 1 else rate for rate, name in rates.items()]
        return f"at {', '.join(several)} TFLOP/s {self.origin}"


GPUS_OF_THE_PAPER = 4
"""GPUs in the commands of the paper's released code. We assume that its training times are for the same number."""
PUBLISHED = Throughput(
    50e3 * FORWARD_AND_BACKWARD * forward_flops("ddpmpp", 32) / 45.7 / GPUS_OF_THE_PAPER / 1e12,
    "(one GPU of the paper's machine: EDM on CIFAR-10, 50 kimg in 45.7 s, assuming the four GPUs of its released "
    "commands; use --tflops or --measure for your GPU)",
)
"""Derived from the training time that the paper reports for EDM. Its DDPM++ needs 42.4 GFLOP per image."""


@dataclass(frozen=True)
class Budget:
    """Cost of one run or of several runs added up."""

    trained: int
    """Images shown in training."""
    passes: float
    """Expected passes of images through the networks in training: 1 forward, 2 backward."""
    sampled: int
    """Images sampled."""
    evaluations: int
    """Network evaluations in sampling: images x NFE. NFE is counted by sampling one pixel."""
    training_flops: float
    """Floating-point operations of training."""
    sampling_flops: float
    """Floating-point operations of sampling."""
    disk: int
    """Bytes of snapshots and sample sets."""

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


NOTHING = Budget(0, 0.0, 0, 0, 0.0, 0.0, 0)


def run_budget(run: Run) -> Budget:
    """Return the cost of one run. Training counts only if the run trains its own weights."""
    resolution, channels = image_size(run)
    flops = forward_flops(run.network.kind, resolution)
    jobs = list(itertools.chain(*sample_jobs(run)))
    sampled = sum(job.samples for job in jobs)
    budgets = {job.steps for job in jobs}
    nfe = {steps: count_evaluations(run.sampling.sampler, run.formulation, steps) for steps in budgets}
    evaluations = sum(job.samples * nfe[job.steps] for job in jobs)
    samples = Budget(0, 0.0, sampled, evaluations, 0.0, flops * evaluations, sampled * resolution**2 * channels)
    if run.trained_as is not None:
        return samples
    trained, passes = run.trained_images, run.total_steps * step_passes(run)
    # Snapshots hold float32 weights.
    networks = len(run.snapshot_steps()) + (2 if run.mechanism_td is not None else 0)
    weights = networks * 4 * nominal_parameters(run.network.kind, resolution)
    operations = flops * passes + 1e9 * run.formulation.loss_gflops * trained
    return samples + Budget(trained, passes, 0, 0, operations, 0.0, weights)


def describe_plans(plans: list[Plan], throughput: Throughput = PUBLISHED) -> str:
    """Return runs, jobs, images, network evaluations, GPU hours and disk of each experiment and their sum, as text."""
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
        lines += _equal_passes(plans[0])
    lines += [
        f"jobs                      {_jobs(plans):>15,}",
        f"images shown in training  {total.trained:>15,}",
        f"passes of images          {round(total.passes):>15,}   in training (1 forward, 2 backward; target included)",
        f"images sampled            {total.sampled:>15,}",
        f"network evaluations       {total.evaluations:>15,}   in sampling (images x NFE)",
        f"{throughput.hours:<24} {_hours(training + sampling):>15}   training {_hours(training)}, sampling "
        f"{_hours(sampling)}, {throughput.describe(run.network.kind for run in runs)}",
        f"disk, MB                  {total.disk / 1e6:>15,.0f}   snapshots, samples; {_assumed(runs)}",
    ]
    return "\n".join(lines)


def _equal_passes(plan: Plan) -> list[str]:
    """Return where the baseline has the passes of each objective, and what its longer training costs, as lines."""
    if not plan.equal_passes:
        return []
    seeds = len(plan.experiment.seeds)
    bases = {(run.dataset_name, run.formulation_name): run for run in reversed(plan.comparison)}
    lines = [
        "comparison at equal passes, for each objective; one pass is one image forward, two are one image backward"
    ]
    for point in plan.equal_passes:
        base = bases[point.dataset_name, point.formulation_name]
        place = f"  {point.dataset_name}/{point.formulation_name}-{point.objective_name}"
        costs = f"{point.passes:.3g} passes an image, the baseline {point.baseline_passes:.3g}"
        own = base.training.duration_kimg
        if point.baseline_name == plan.experiment.baseline:
            lines.append(f"{place}: {costs}: the same length")
            continue
        what = f"trained by itself, since {point.separate}" if point.separate else f"continues from {own:g} kimg"
        more = (point.kimg - (0 if point.separate else own)) * point.baseline_passes * seeds
        lines.append(f"{place}: {costs}: the baseline to {point.kimg:g} kimg, {what}; {more:,.0f} thousand passes more")
    return lines


def _hours(value: float) -> str:
    """Format hours. Below 0.1 h the text is in minutes or seconds, with the unit."""
    if value >= 0.1:
        return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    if value * 60 >= 0.95:
        return f"{value * 60:.2g} min"
    return "< 0.1 s" if value * 3600 < 0.1 else f"{value * 3600:.2g} s"


def _jobs(plans: list[Plan]) -> int:
    """Count the jobs of the workflow. Files of a data set that several experiments share are counted once."""
    sets = {name for plan in plans for name in plan.experiment.datasets}
    trained = [plan for plan in plans if EXTRACTORS[plan.experiment.evaluation.features].trained_on_data]
    classifiers = len({name for plan in trained for name in plan.experiment.datasets})
    references = {
        (run.dataset_name, run.evaluation.features, library if run.evaluation.features in LIBRARY_SPECIFIC else "all")
        for plan in plans
        for run in plan.runs.values()
        for library in run.evaluation.libraries
    }
    weights = any(run.evaluation.publishers for plan in plans for run in plan.runs.values())
    distance = any(run.published_distance for plan in plans for run in plan.runs.values())
    floors = {
        (name, plan.experiment.evaluation.features, samples)
        for plan in plans
        for name, counts in plan.floors.items()
        for samples in counts
    }
    count = len(sets) + len(references) + len(floors) + classifiers + weights + distance
    for plan in plans:
        of_runs = batches(plan).values()
        count += sum(1 for batch in of_runs if batch.trainings) + 2 * len(of_runs)
        count += JOBS_OF_REPORT + bool(plan.ablations)
    return count


def image_size(run: Run) -> tuple[int, int]:
    """Return resolution and channels of the data set if known, otherwise the nominal ones of the network."""
    known, meant = run.dataset.size(run.file), NOMINAL[run.network.kind]
    return known[0] or meant[0], known[1] or meant[1]


def _assumed(runs: Iterable[Run]) -> str:
    """Return the image sizes that the plan assumes, as text; planning works without the data."""
    sizes = sorted({image_size(run) for run in runs})
    return f"for images of {', '.join(f'{r}x{r}x{c}' for r, c in sizes)}"
