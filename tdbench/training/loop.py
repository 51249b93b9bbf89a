"""Training one run: from an archive to snapshots, in one process or several, from step 0 or from a checkpoint."""

import signal
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from tdbench.data.archive import ImageSet, read_archive
from tdbench.data.loading import Batches
from tdbench.errors import Stopped, TdbenchError, TrainingDiverged
from tdbench.experiment.run import Run
from tdbench.networks import count_parameters
from tdbench.records.layout import RunLayout
from tdbench.records.schema import CheckpointFacts, DistanceWeights, Finished, MetricsLine, Part, SnapshotEntry, Trained
from tdbench.records.weights import save_snapshot
from tdbench.runtime.device import choose_device, describe_hardware, reset_peak_memory
from tdbench.runtime.distributed import ALONE, Vote, World
from tdbench.runtime.files import make_folder, sha256, write_json
from tdbench.runtime.progress import progress, say
from tdbench.runtime.progress_log import ProgressLog, first_line
from tdbench.runtime.provenance import provenance
from tdbench.runtime.signals import StopRequest, stop_on_request
from tdbench.training.checkpoint import Checkpoint, Identity, find_checkpoint, keep_only, save_checkpoint
from tdbench.training.lag import keep_networks
from tdbench.training.lpips_network import load_lpips
from tdbench.training.lpips_weights import LIBRARY, PUBLISHED
from tdbench.training.metrics import MetricsWriter, Written
from tdbench.training.state import TrainingState, build_state
from tdbench.training.step import one_step

GO_ON, KEEP, STOP = 0, 1, 2
"""What the processes agree on after each step: continue, write a checkpoint, or write one and stop."""


@dataclass
class Trainer:
    """One training under way."""

    run: Run
    layout: RunLayout
    world: World
    state: TrainingState
    batches: Batches
    metrics: MetricsWriter
    data: str
    """SHA-256 of the archive."""
    distance: str | None
    """SHA-256 of the weights of the distance, where the formulation's needs some."""
    parts: list[Part]
    """Where it was begun and taken up again: first step, provenance, hardware."""
    step: int = 0
    """Steps done."""
    entries: list[SnapshotEntry] = field(default_factory=list)
    """The snapshots taken."""
    line: MetricsLine | None = None
    """The last line of metrics; None before the first."""
    stopping: bool = False
    """Whether any process was asked to stop when it was too late for a checkpoint."""

    @property
    def identity(self) -> Identity:
        """What makes a checkpoint one of this training."""
        return Identity(self.run.training_settings(), self.data, self.distance)

    def facts(self, written: Written) -> CheckpointFacts:
        """What a checkpoint says of itself; ``written`` is how far the metrics go."""
        return CheckpointFacts(
            **self.identity.known(),
            step=self.step,
            snapshots=self.entries,
            line=self.line,
            parts=self.parts,
            follower=None if self.state.follower is None else self.run.follower_settings,
            metrics_bytes=written.bytes,
            seconds=written.seconds,
        )


def train(run: Run, archive: Path, layout: RunLayout, world: World = ALONE) -> None:
    """Train ``run`` and write run.json, metrics.jsonl, snapshots and, when all is done, snapshots.json.

    It resumes from the newest intact checkpoint of the same settings and data, if there is one.

    Raises
    ------
    TrainingDiverged
        If a loss, a gradient or a weight is not finite. Snapshots taken before stay.
    Stopped
        If the process was asked to stop; a checkpoint of the last step is written.
    """
    device = choose_device(run.training.device, run.training.threads)
    reset_peak_memory(device)
    data = read_archive(archive)
    run.check_data(len(data.images))
    make_folder(layout.folder)
    distance = load_lpips(run.training.distance_weights) if run.formulation.distance_weights_needed else None
    identity = Identity(run.training_settings(), data.checksum, distance)
    checkpoint = _checkpoint_to_use(identity, run, layout, world)
    state = build_state(run, data, device, world)
    share = world.share(run.training.batch_size)
    with (
        MetricsWriter(layout.metrics, device, run.training.batch_size, world) as metrics,
        closing(Batches(data, run.training.batch_size, run.seed, device, share)) as batches,
        stop_on_request() as stop,
    ):
        training = Trainer(run, layout, world, state, batches, metrics, data.checksum, distance, parts=[])
        _begin(training, checkpoint)
        _record(training, data)
        try:
            _train_steps(training, stop)
        except TrainingDiverged as error:
            kept = sorted(layout.snapshot(0).parent.glob("*.safetensors"))
            advice = f"the last good snapshot is {kept[-1]}" if kept else "no snapshot had been taken"
            raise TrainingDiverged(f"{run.name}: {error}; {advice}; lower training.learning_rate") from error
        _finish(training)
    if stop or training.stopping:
        raise Stopped(stop.signal_number or signal.SIGTERM, f"{run.name}: finished; asked to stop")


def _checkpoint_to_use(wanted: Identity, run: Run, layout: RunLayout, world: World) -> Checkpoint | None:
    """The checkpoint to resume from: the leader looks for it, and the others use what it found."""
    if not world.leader:
        images = world.broadcast(0)
        if images == 0:
            return None
        (path,) = layout.checkpoints.glob(f"{images:012d}-*.safetensors")
        return Checkpoint.opened(path)
    found = find_checkpoint(layout.checkpoints, wanted, lambda facts: _objection(facts, layout))
    keep_only(layout.checkpoints, found.path if found else None)
    _clear(layout, found)
    world.broadcast(0 if found is None else run.training.images_at(found.facts.step))
    return found


def _objection(facts: CheckpointFacts, layout: RunLayout) -> str | None:
    """What is wrong with the snapshots taken before a checkpoint; they are not taken again."""
    for entry in facts.snapshots:
        path = layout.training / entry.file
        if not path.is_file() or sha256(path) != entry.sha256:
            return f"snapshot {path} is missing or changed"
        if (kept := entry.networks) is not None:
            path = layout.training / kept.file
            if not path.is_file() or sha256(path) != kept.sha256:
                return f"{path} is missing or changed"
    return None


def _clear(layout: RunLayout, checkpoint: Checkpoint | None) -> None:
    """Remove files of an earlier training of this run, except those that the resumed training needs."""
    layout.snapshots.unlink(missing_ok=True)
    entries = checkpoint.facts.snapshots if checkpoint else []
    kept = {layout.training / entry.file for entry in entries}
    kept |= {layout.training / entry.networks.file for entry in entries if entry.networks is not None}
    folder = layout.snapshot(0).parent
    # With the temporary files of processes that were killed.
    for path in folder.iterdir() if folder.is_dir() else ():
        if path not in kept:
            path.unlink()
    if checkpoint is None:
        layout.metrics.unlink(missing_ok=True)
    if layout.networks not in kept:
        layout.networks.unlink(missing_ok=True)


def _begin(training: Trainer, checkpoint: Checkpoint | None) -> None:
    """Take up a checkpoint's state."""
    if checkpoint is not None:
        facts, tensors = checkpoint.facts, checkpoint.tensors()
        if facts.follower != training.run.follower_settings:
            # The beginning of this one's trajectory is gone; the training itself goes on.
            training.state.follower = None
        try:
            written = Written(facts.metrics_bytes, facts.seconds)
            training.metrics.restore(facts.step, tensors.pop("metrics"), written, facts.line)
            training.state.load(tensors)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            # Its name has the checksum of its content: it was written so.
            raise TdbenchError(
                f"{checkpoint.path}: holds the tensors of another network ({first_line(error)}); delete it to "
                "resume from the previous one"
            ) from error
        training.step, training.entries, training.line = facts.step, list(facts.snapshots), facts.line
        training.parts = list(facts.parts)
        if training.world.leader:
            say(f"{training.run.name}: resumes after step {training.step} from {checkpoint.path}")
    hardware = describe_hardware(training.state.device).model_copy(update={"processes": training.world.count})
    engine = asdict(training.state.engine)
    training.parts.append(Part(from_step=training.step, hardware=hardware, engine=engine, provenance=provenance()))


def _record(training: Trainer, data: ImageSet) -> None:
    """Write run.json: settings, data, and where it was begun and taken up again."""
    if not training.world.leader:
        return
    run, last = training.run, training.parts[-1]
    record = Trained(
        name=run.name,
        run=run.model_dump(mode="json", by_alias=True),
        data=data.summary(),
        parameters=count_parameters(training.state.denoiser),
        hardware=last.hardware,
        engine=last.engine,
        provenance=training.parts[0].provenance,
        parts=training.parts,
    )
    if training.distance is not None:
        name = (run.training.distance_weights or Path(PUBLISHED[LIBRARY].name)).name
        weights = DistanceWeights(file=name, sha256=training.distance)
        record = record.model_copy(update={"distance_weights": weights})
    write_json(training.layout.settings, record)


def _train_steps(training: Trainer, stop: StopRequest) -> None:
    """All steps that are left, with snapshots, metrics and checkpoints on the way."""
    run, settings, vote = training.run, training.run.training, Vote(training.world)
    snapshot_steps, kept_at = set(run.snapshot_steps()), time.monotonic()
    # Not at the further snapshots: lines of metrics stay as far apart as without curves.
    line_steps = set(settings.snapshot_steps(run.total_steps if run.continued_to else None))
    size = settings.batch_size
    log = ProgressLog(training.layout.progress, "train")
    with progress(run.name, run.trained_images, "img", initial=training.step * size, log=log) as bar:
        while training.step < run.total_steps:
            batch = training.batches.at(training.step)
            used = one_step(run, training.state, batch, training.step, training.metrics)
            training.step += 1
            if training.step in line_steps or training.step % settings.metrics_every_steps == 0:
                training.line = training.metrics.flush(used)
                bar.set_postfix_str(f"loss {training.line.loss:.3g}", refresh=False)
            if training.step in snapshot_steps:
                _take_snapshot(training)
            bar.update(size)
            due = time.monotonic() - kept_at >= settings.checkpoint_minutes * 60
            stopping = stop or training.world.lost_parent()
            wish = vote(STOP if stopping else KEEP if due and training.world.leader else GO_ON)
            if wish != GO_ON and training.step < run.total_steps:
                _keep(training)
                kept_at = time.monotonic()
                if wish == STOP:
                    _stop(training, stop)
        vote.close()
    # One of several may have been asked after the last vote; then all of them end here.
    training.stopping = bool(training.world.sum(torch.tensor(int(bool(stop)))))


def _keep(training: Trainer) -> None:
    """Write a checkpoint; to be called by every process after the same step."""
    table, written = training.metrics.state()
    if training.world.leader:
        tensors = training.state.tensors() | {"metrics": table}
        images = training.run.training.images_at(training.step)
        save_checkpoint(training.layout.checkpoints, images, tensors, training.facts(written))


def _stop(training: Trainer, stop: StopRequest) -> None:
    # Torchrun ends those that are left when the first has ended: not before the leader has written.
    training.world.broadcast(0)
    raise Stopped(
        stop.signal_number or signal.SIGTERM,
        f"{training.run.name}: stopped after step {training.step} of {training.run.total_steps}; "
        f"a checkpoint is kept; the same command resumes from it",
    )


def _take_snapshot(training: Trainer) -> None:
    network, step = training.state.average.network, training.step
    if not _finite(network):
        raise TrainingDiverged(f"diverged by step {step}: a weight is not finite")
    passes = training.metrics.passes()
    if training.world.leader:
        run, images = training.run, training.run.training.images_at(step)
        path = training.layout.snapshot(images)
        ends = step == run.training.steps
        entry = SnapshotEntry(
            images=images,
            kimg=images / 1000,
            file=f"snapshots/{path.name}",
            sha256=save_snapshot(path, network, {"images": images, "step": step}),
            seconds=training.metrics.seconds,
            network_passes=passes.network,
            target_passes=passes.target,
            networks=keep_networks(run, training.state, training.layout) if ends else None,
        )
        training.entries.append(entry)


def _finite(network: nn.Module) -> bool:
    return bool(torch.stack([p.isfinite().all() for p in network.parameters()]).all())


def _finish(training: Trainer) -> None:
    """Write snapshots.json, which says that the training is done; its checkpoints go."""
    if not training.world.leader:
        return
    passes = training.state.evaluations
    assert training.line is not None and passes is not None, "the last step takes a snapshot, which writes a line"
    summary = Finished(
        snapshots=training.entries,
        training_seconds=training.metrics.seconds,
        last_metrics=training.line,
        forward_passes_a_step=passes,
    )
    write_json(training.layout.snapshots, summary)
    keep_only(training.layout.checkpoints, None)
