"""Training one run: from an archive to snapshots."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tdbench.data.archive import ImageSet, read_archive
from tdbench.data.loading import Batch, Batches
from tdbench.device import choose_device, describe_hardware, forget_peak_memory
from tdbench.diffusion.formulations.base import Losses, Noise
from tdbench.diffusion.preconditioning import Condition, Denoiser
from tdbench.diffusion.samplers import CountingDenoiser
from tdbench.diffusion.targets import Target
from tdbench.errors import TrainingDiverged
from tdbench.files import make_folder, write_json
from tdbench.layout import RunLayout
from tdbench.networks import build_network, count_parameters
from tdbench.plan import Run
from tdbench.progress import progress
from tdbench.progress_log import ProgressLog
from tdbench.provenance import provenance
from tdbench.seeds import derive_seed, generator
from tdbench.training.augmentation import AUGMENT_DIM, AugmentationSettings, augment
from tdbench.training.ema import AveragedNetwork, half_life_decay
from tdbench.training.metrics import MetricsWriter
from tdbench.training.snapshots import save_snapshot


@dataclass
class TrainingState:
    """The networks of a run and what changes them."""

    denoiser: Denoiser
    target: AveragedNetwork | None
    """Target network, where the objective or the formulation has one."""
    target_rule: Target | None
    average: AveragedNetwork
    """The average that is sampled."""
    optimizer: torch.optim.Optimizer
    evaluations: dict[str, int] = field(default_factory=dict)
    """Forward passes of the last step, counted: of the trained network and of the target network."""


def train(run: Run, archive: Path, layout: RunLayout) -> None:
    """Train ``run`` and write run.json, metrics.jsonl, snapshots and, when all is done, snapshots.json.

    Raises
    ------
    TrainingDiverged
        If a loss, a gradient or a weight is not finite. Snapshots taken before stay.
    """
    device = choose_device(run.training.device, run.training.threads)
    forget_peak_memory(device)
    data = read_archive(archive)
    state = build_state(run, data, device)
    hardware = describe_hardware(device)
    record: dict[str, Any] = {
        "name": run.name,
        "run": run.model_dump(mode="json", by_alias=True),
        "data": data.summary(),
    }
    record |= {"parameters": count_parameters(state.denoiser), "hardware": hardware, "provenance": provenance()}
    make_folder(layout.folder)
    _clear(layout)
    write_json(layout.settings, record)

    begun = time.perf_counter()
    with MetricsWriter(layout.metrics, device, run.training.batch_size) as metrics:
        try:
            entries, last = _train_steps(
                run, state, Batches(data, run.training.batch_size, run.seed, device), metrics, layout
            )
        except TrainingDiverged as error:
            kept = sorted(layout.snapshot(0).parent.glob("*.safetensors"))
            advice = f"the last good snapshot is {kept[-1]}" if kept else "no snapshot had been taken"
            raise TrainingDiverged(f"{run.name}: {error}; {advice}; lower training.learning_rate") from error
    summary = {
        "snapshots": entries, "training_seconds": time.perf_counter() - begun, "last_metrics": last,
        "forward_passes_a_step": state.evaluations,
    }  # fmt: skip
    write_json(layout.snapshots, summary)


def _clear(layout: RunLayout) -> None:
    """Take away what an earlier training of this run left, so that no two trainings mix."""
    layout.snapshots.unlink(missing_ok=True)
    for path in layout.snapshot(0).parent.glob("*.safetensors"):
        path.unlink()


def build_state(run: Run, data: ImageSet, device: torch.device) -> TrainingState:
    """Networks and optimizer of a run at step 0."""
    denoiser = build_denoiser(run, data.summary(), derive_seed(run.seed, "initial-weights")).to(device)
    rule = run.objective.target_rule(run.formulation)
    target = AveragedNetwork(denoiser) if rule is not None else None
    rate, betas = run.training.learning_rate, run.training.betas
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=rate, betas=betas, fused=True)
    return TrainingState(denoiser.train(), target, rule, AveragedNetwork(denoiser), optimizer)


def build_denoiser(run: Run, data: Mapping[str, Any], seed: int) -> Denoiser:
    """The network of a run with its preconditioning, for data as `ImageSet.summary` describes them."""
    preconditioning = run.formulation.preconditioning()
    network = build_network(
        run.network, data["channels"], data["resolution"], data["classes"],
        AUGMENT_DIM if run.training.augmentation else 0, preconditioning.embedding_scale, seed,
    )  # fmt: skip
    return Denoiser(network, preconditioning)


def batch_losses(run: Run, state: TrainingState, batch: Batch, step: int) -> Losses:
    """Losses of the batch of step ``step`` (from 0), with the noise that belongs to that step."""
    device, images, labels = batch.images.device, batch.images, None
    if run.training.augmentation:
        settings = AugmentationSettings(probability=run.training.augmentation)
        images, labels = augment(images, settings, generator(run.seed, "augmentation", step))
    shared = generator(run.seed, "noise", step, device=device)
    pair = generator(run.seed, "pair-noise", step, device=device)
    noise = Noise.draw(images, shared, pair)
    # Dropout draws from the global generator.
    torch.manual_seed(derive_seed(run.seed, "dropout", step))
    formulation = run.formulation.at(step / run.training.steps)
    counted = CountingDenoiser(state.denoiser)
    target = CountingDenoiser(state.target.network) if state.target else None
    condition = Condition(batch.labels, labels)
    losses = run.objective.losses(counted, target, formulation, images, condition, noise)
    state.evaluations = {"network": counted.calls, "target": target.calls if target else 0}
    return losses


def _train_steps(
    run: Run, state: TrainingState, batches: Batches, metrics: MetricsWriter, layout: RunLayout
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All steps; returns the snapshots taken and the last line of metrics."""
    training, snapshot_steps, entries, line = run.training, set(run.training.snapshot_steps()), [], {}
    log = ProgressLog(layout.progress, "train")
    with progress(run.name, training.steps * training.batch_size, "img", log=log) as bar:
        for step in range(training.steps):
            rate, decay = _one_step(run, state, batches.at(step), step, metrics)
            done = step + 1
            snapshot_due = done in snapshot_steps
            if snapshot_due or done % training.metrics_every_steps == 0:
                line = metrics.flush(rate, decay)
                bar.set_postfix_str(f"loss {line['loss']:.3g}", refresh=False)
            if snapshot_due:
                entries.append(_snapshot(state.average.network, training.images_at(done), done, layout))
            bar.update(training.batch_size)
    return entries, line


def _one_step(run: Run, state: TrainingState, batch: Batch, step: int, metrics: MetricsWriter) -> tuple[float, float]:
    """One update of the network, its target and its average; returns learning rate and EMA decay."""
    training, shown = run.training, run.training.images_at(step)
    rampup = training.rampup_kimg * 1000
    rate = (
        training.learning_rate * min((shown + training.batch_size) / rampup, 1.0) if rampup else training.learning_rate
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    losses = batch_losses(run, state, batch, step)
    state.optimizer.zero_grad(set_to_none=True)
    losses.total.mean().backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in state.denoiser.parameters() if p.grad is not None])
    metrics.add(step + 1, losses, norm)
    state.optimizer.step()
    if state.target is not None and state.target_rule is not None:
        kept = state.target_rule.decay(step + 1, step / training.steps, run.formulation)
        if kept < 1:
            state.target.update(state.denoiser, kept)
    half_life = training.ema_half_life_kimg * 1000
    decay = half_life_decay(training.batch_size, half_life, shown + training.batch_size, training.ema_rampup_ratio)
    state.average.update(state.denoiser, decay)
    return rate, decay


def _snapshot(network: nn.Module, images: int, step: int, layout: RunLayout) -> dict[str, Any]:
    if not all(p.isfinite().all() for p in network.parameters()):
        raise TrainingDiverged(f"diverged by step {step}: a weight is not finite")
    path = layout.snapshot(images)
    checksum = save_snapshot(path, network, {"images": images, "step": step})
    return {"images": images, "kimg": images / 1000, "file": f"snapshots/{path.name}", "sha256": checksum}
