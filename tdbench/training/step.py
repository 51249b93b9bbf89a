"""One step of training: losses of a batch, gradients, and the updates of the network, its target and its average.

The batch is that of all processes together. What a step draws is drawn for the whole batch in every process, and each
takes its share. So the numbers do not depend on the number of processes, and no generator state has to be stored.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tdbench.data.loading import Batch
from tdbench.diffusion.formulations.base import Losses, Noise
from tdbench.diffusion.objectives.schedules import constant
from tdbench.diffusion.objectives.targets import Target
from tdbench.diffusion.objectives.td import TD
from tdbench.diffusion.preconditioning import Condition, CountingDenoiser
from tdbench.experiment.run import Run
from tdbench.records.schema import Passes
from tdbench.seeds import derive_seed, generator
from tdbench.training.augmentation import AugmentationSettings, Transforms, apply_transforms, draw_transforms
from tdbench.training.ema import average_decay
from tdbench.training.lag import follow
from tdbench.training.metrics import MetricsWriter, PassCount, StepSettings, loss_sums
from tdbench.training.state import TrainingState, parts


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step's whole batch."""

    noise: Noise
    flips: Tensor | None
    """(N,) bool on the CPU: which images are mirrored, where some are."""
    transforms: Transforms | None
    """Of the augmentation, where there is one."""


def draw_step(run: Run, step: int, shape: tuple[int, ...], device: torch.device) -> Draws:
    """What step ``step`` (from 0) draws for images of ``shape`` (N, C, H, W), N those of the whole batch."""
    count = run.training.batch_size
    flips = transforms = None
    if run.training.horizontal_flips:
        flips = torch.rand(count, generator=generator(run.seed, "flips", step)) < 0.5
    if run.training.augmentation:
        settings = AugmentationSettings(probability=run.training.augmentation)
        transforms = draw_transforms(count, settings, generator(run.seed, "augmentation", step))
    times = generator(run.seed, "noise", step)
    # On the CPU one stream gives times and images.
    shared = times if device.type == "cpu" else generator(run.seed, "noise", step, device=device)
    pair = generator(run.seed, "pair-noise", step, device=device)
    return Draws(Noise.draw((count, *shape[1:]), torch.float32, times, shared, pair), flips, transforms)


def batch_losses(run: Run, state: TrainingState, batch: Batch, step: int, part: slice | None = None) -> Losses:
    """Losses of the batch of step ``step`` (from 0), or of a part of it, with the noise that belongs to that step.

    Parameters
    ----------
    batch : Batch
        The images of that part.
    part : slice or None
        Where they are in the whole batch; None for all of it.
    """
    draws = draw_step(run, step, tuple(batch.images.shape), batch.images.device)
    part = slice(0, run.training.batch_size) if part is None else part
    return _part_losses(run, state, batch, step, part, draws)[0]


def _part_losses(
    run: Run, state: TrainingState, batch: Batch, step: int, part: slice, draws: Draws
) -> tuple[Losses, PassCount]:
    images, told = batch.images, None
    if draws.flips is not None:
        flips = draws.flips[part].to(images.device, non_blocking=True).view(-1, 1, 1, 1)
        images = torch.where(flips, images.flip(-1), images)
    if draws.transforms is not None:
        transforms = draws.transforms.part(part)
        images, told = apply_transforms(images, transforms), transforms.labels_for(images)
    # Dropout draws from the global generator; its masks belong to the place of the part in the batch.
    torch.manual_seed(derive_seed(run.seed, "dropout", step, part.start))
    share = step / run.total_steps
    formulation, objective = run.formulation.at(share), run.objective.at(share)
    counted, call = CountingDenoiser(state.trained_call()), state.target_call()
    target = None if call is None or _target_rule(run, step) is None else CountingDenoiser(call)
    noise = draws.noise.part(part)
    losses = objective.losses(counted, target, formulation, images, Condition(batch.labels, told), noise)
    state.evaluations = Passes(network=counted.calls, target=target.calls if target else 0)
    return losses, PassCount(counted.passes, target.passes if target else 0)


def _target_rule(run: Run, step: int) -> Target | None:
    """How the target follows in step ``step`` (from 0); None if no target is evaluated in it."""
    return run.objective.at(step / run.total_steps).target_rule(run.formulation)


def one_step(run: Run, state: TrainingState, batch: Batch, step: int, metrics: MetricsWriter) -> StepSettings:
    """One update of the network, its target and its average; returns the settings that may change from step to step.

    Parameters
    ----------
    batch : Batch
        This process's share of the batch.
    """
    training, shown = run.training, run.training.images_at(step)
    rate = _learning_rate(run, shown)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    rule = _target_rule(run, step)
    if state.target is not None and rule is not None and step > 0 and _target_rule(run, step - 1) is None:
        # The objective begins to compare with a target: it starts as a copy.
        state.target.update(0.0)
    sums, passes = _gradients(run, state, batch, step)
    norm = torch.nn.utils.get_total_norm([p.grad for p in state.denoiser.parameters() if p.grad is not None])
    metrics.add(step + 1, sums, norm, passes)
    if training.gradient_clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(state.denoiser.parameters(), training.gradient_clip_norm, norm)
    state.optimizer.step()
    kept = None if rule is None else rule.decay(step + 1, step / run.total_steps, run.formulation)
    if state.target is not None and kept is not None and kept < 1:
        state.target.update(kept)
    decay = average_decay(training, shown + training.batch_size)
    state.average.update(decay)
    follow(run, state, step)
    objective = run.objective.at(step / run.total_steps)
    weight = constant(objective.lambda_, "lambda") if isinstance(objective, TD) else None
    return StepSettings(rate, decay, weight, kept)


def _learning_rate(run: Run, shown: int) -> float:
    """Linear ramp-up over the first images."""
    training, rampup = run.training, run.training.rampup_kimg * 1000
    return training.learning_rate * (min((shown + training.batch_size) / rampup, 1.0) if rampup else 1.0)


def _gradients(run: Run, state: TrainingState, batch: Batch, step: int) -> tuple[Tensor, PassCount]:
    """Gradients of the mean loss over the whole batch, part by part; returns this process's sums and passes."""
    own, passes = parts(run, state.world), PassCount()
    draws, first, sums = draw_step(run, step, tuple(batch.images.shape), state.device), own[0].start, []
    # Several processes' gradients are averaged, where those of a batch's parts add up.
    scale = state.world.count / run.training.batch_size
    for part in own:
        here = slice(part.start - first, part.stop - first)
        labels = None if batch.labels is None else batch.labels[here]
        with state.adding_up(last=part is own[-1]):
            losses, counted = _part_losses(run, state, Batch(batch.images[here], labels), step, part, draws)
            (losses.total.sum() * scale).backward()
        sums.append(loss_sums(losses))
        passes = passes.plus(counted)
    return torch.stack(sums).sum(0), passes
