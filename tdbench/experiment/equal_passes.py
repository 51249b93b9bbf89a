"""Longer baselines: what the same number of passes through the networks buys without an objective.

A baseline and another objective see the same images. The other one may cost more passes for each image, so a comparison
at equal images favours it. For the comparison at equal passes the baseline is trained for longer. If nothing in its
recipe depends on the length of training, the longer training has the shorter one as its beginning, to the bit, and one
training serves both.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tdbench.errors import TdbenchError
from tdbench.experiment.cases import EqualPasses
from tdbench.experiment.run import Run
from tdbench.runtime.distributed import World

_SHARES = 8
"""Shares of training at which the passes of a step are computed, where a schedule depends on the length."""


def step_passes(run: Run) -> float:
    """Return the expected passes of images in a training step of a run: 1 forward, 2 backward, mean over training."""
    training, count = run.training, run.training.processes
    shares = [World(rank, count).share(training.batch_size) for rank in range(count)]
    sizes = [part.stop - part.start for share in shares for part in training.parts(share)]
    dependent = run.formulation.length_dependence is not None
    fractions = [(i + 0.5) / _SHARES for i in range(_SHARES)] if dependent else [0.0]
    passes = {
        size: [run.objective.expected_passes(run.formulation.at(fraction), size) for fraction in fractions]
        for size in set(sizes)
    }
    return sum(sum(passes[size]) / len(fractions) for size in sizes)


class Compared(NamedTuple):
    """The runs of a comparison with what they need for curves and for equal passes."""

    comparison: tuple[Run, ...]
    longer: tuple[Run, ...]
    """Baselines at the passes of other objectives, for each seed."""
    equal_passes: tuple[EqualPasses, ...]


def with_longer_baselines(comparison: tuple[Run, ...], baseline: str, path: Path) -> Compared:
    """Add the longer baselines and the snapshots that they and the curves need.

    Parameters
    ----------
    comparison : tuple of Run
        Runs that share weights name the run that trains them.
    baseline : str
        Name of the baseline objective.
    path : Path
        The experiment file, for messages.

    Raises
    ------
    TdbenchError
        If an objective costs so little that the baseline would have no snapshot at the same passes.
    """
    bases = {key(run): run for run in comparison if run.objective_name == baseline}
    points: dict[tuple[str, str, str], EqualPasses] = {}
    longer: dict[str, Run] = {}
    for run in comparison:
        base = bases[key(run)]
        if run.objective_name == baseline or not run.evaluation.equal_passes:
            continue
        cell = (run.dataset_name, run.formulation_name, run.objective_name)
        if cell not in points:
            points[cell] = _point(run, base, path)
        point = points[cell]
        if point.baseline_name != base.objective_name:
            made = _longer(base, point)
            longer.setdefault(made.name, made)
    taken = {run.name.casefold() for run in comparison}
    for name in longer:
        if name.casefold() in taken:
            raise TdbenchError(
                f"{path}: objectives: {name!r} is the name of a longer baseline; rename this objective or data set"
            )
    with_curves = _curves(comparison, longer.values(), baseline)
    return Compared(*_trainers(*with_curves), tuple(points.values()))


def key(run: Run) -> tuple[str, str, int]:
    """Return data set, formulation and seed, which a run shares with its baseline."""
    return run.dataset_name, run.formulation_name, run.seed


def _point(run: Run, base: Run, path: Path) -> EqualPasses:
    """Return the length at which the baseline costs as many passes as an objective."""
    passes, base_passes = step_passes(run), step_passes(base)
    steps = round(run.training.steps * passes / base_passes)
    kimg = base.training.images_at(steps) / 1000
    if kimg < base.training.snapshot_kimg:
        raise TdbenchError(
            f"{path}: training.snapshot_kimg: {base.training.snapshot_kimg:g}: {run.formulation_name}: the baseline "
            f"has the passes of {run.objective_name} after {kimg:g} kimg, before its first snapshot; give a smaller "
            "interval, or set evaluation.equal_passes: false"
        )
    same = steps == base.training.steps
    return EqualPasses(
        dataset_name=run.dataset_name,
        formulation_name=run.formulation_name,
        objective_name=run.objective_name,
        baseline_name=base.objective_name if same else f"{base.objective_name}-{kimg:g}kimg",
        kimg=kimg,
        passes=passes / run.training.batch_size,
        baseline_passes=base_passes / base.training.batch_size,
        separate=None if same else base.length_dependence,
    )


def _longer(base: Run, point: EqualPasses) -> Run:
    training = base.training.model_copy(update={"duration_kimg": point.kimg})
    update = {"objective_name": point.baseline_name, "training": training}
    if point.separate is not None:
        return base.model_copy(update=update)
    return base.model_copy(update=update | {"trained_as": base.weights_name})


def _curves(comparison: Iterable[Run], longer: Iterable[Run], baseline: str) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Set the points of the curves: of each run of the comparison, and beyond its end of the longest baseline."""
    comparison, longer = tuple(comparison), tuple(longer)
    bases = {key(run): run for run in comparison if run.objective_name == baseline}
    longest: dict[tuple[str, str, int], Run] = {}
    for run in longer:
        if run.trained_as is not None and run.last_images > longest.get(key(run), bases[key(run)]).last_images:
            longest[key(run)] = run
    return (
        tuple(_with_curve(run, run.last_images, None) for run in comparison),
        tuple(
            _with_curve(run, bases[key(run)].last_images, run.last_images) if longest.get(key(run)) is run else run
            for run in longer
        ),
    )


def _with_curve(run: Run, last: int, until: int | None) -> Run:
    curve, size = run.evaluation.curve, run.training.batch_size
    if curve is None or run.evaluation.curve_metric is None:
        return run
    steps = {max(1, -(-images // size)) for images in curve.images_shown(last, until)}
    return run.model_copy(update={"curve_snapshots": tuple(size * step for step in sorted(steps))})


def _trainers(comparison: tuple[Run, ...], longer: tuple[Run, ...]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Let each training run as long, and keep the snapshots, as the runs that share its weights need."""
    scored: dict[str, set[int]] = defaultdict(set)
    wanted: dict[str, set[int]] = defaultdict(set)
    for run in (*comparison, *longer):
        scored[run.weights_name].update(run.scored_snapshots())
        wanted[run.weights_name].update(run.scored_snapshots(), run.curve_snapshots)

    def update(run: Run) -> Run:
        if run.trained_as is not None:
            return run
        end, curve = max(wanted[run.name]), run.evaluation.curve
        run = run.model_copy(update={"continued_to": end if end > run.last_images else 0})
        regular = {run.training.images_at(step) for step in run.snapshot_steps()}
        further = wanted[run.name] - regular
        temporary = set() if curve is None or curve.keep_snapshots else further - scored[run.name]
        kept = {"further_snapshots": tuple(sorted(further)), "temporary_snapshots": tuple(sorted(temporary))}
        return run.model_copy(update=kept)

    return tuple(map(update, comparison)), tuple(map(update, longer))
