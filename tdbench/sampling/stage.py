"""Sampling the snapshots of a run: images, stored as the ADM evaluation suite does, and a picture of some."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tdbench.data.loading import to_uint8
from tdbench.data.summary import DataSummary
from tdbench.diffusion.consistency import WatchedDenoiser
from tdbench.diffusion.preconditioning import Condition, Denoiser
from tdbench.diffusion.samplers import FreshNoise
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.sample_sets import SampleJob, sample_jobs, sample_key
from tdbench.records.schema import Sampled, SampleSet, Settings, read_record
from tdbench.records.stored import Records, RunRecords
from tdbench.records.weights import check_snapshot, load_snapshot
from tdbench.runtime import advice
from tdbench.runtime.advice import DEFAULT_RESULTS
from tdbench.runtime.device import choose_device, without_gradient
from tdbench.runtime.distributed import ALONE, World
from tdbench.runtime.files import atomic_path, sha256, write_json
from tdbench.runtime.progress import progress
from tdbench.runtime.progress_log import ProgressLog
from tdbench.runtime.provenance import provenance, same_code
from tdbench.sampling.pictures import save_grid
from tdbench.seeds import generator
from tdbench.training.state import build_denoiser


def image_noise(run_seed: int, index: int, shape: tuple[int, ...], order: list[int]) -> tuple[Tensor, int]:
    """Latent (C, H, W) and class of image ``index``: from the image's own seed, so no batch size changes them.

    Parameters
    ----------
    order : list of int
        Classes to draw from, each as often as its share (`class_order`); empty without classes, and the class is 0.
    """
    source = generator(run_seed, "sampling", index)
    label = order[int(torch.randint(len(order), (), generator=source))] if order else 0
    return torch.randn(shape, generator=source), label


def class_order(counts: list[int]) -> list[int]:
    """The classes of a data set's images, (N,), in an order in which the classes take turns: 0, 1, ..., 0, 1, ...

    One of them drawn evenly is a class in the proportions of the data. If all classes have as many images, the draw is
    to the bit the one that an even draw of the class gives: a generator's number modulo N = m K, modulo K, is that
    number modulo K.

    Parameters
    ----------
    counts : list of int
        Images of each class.
    """
    labels = np.repeat(np.arange(len(counts)), counts)
    # Which image of its class: the first ones of all classes, then the second ones, ...
    turn = np.concatenate([np.arange(count) for count in counts]) if counts else labels
    order: list[int] = labels[np.lexsort((labels, turn))].tolist()
    return order


def fresh_noise(run_seed: int, images: list[int], shape: tuple[int, ...], device: torch.device) -> FreshNoise:
    """Further noise for samplers that add some: each image draws from a stream of its own, in any batch."""
    sources: list[torch.Generator] = []

    def draw() -> Tensor:
        # Most samplers ask for none, and 50,000 generators take a while.
        sources.extend(generator(run_seed, "sampler-noise", i) for i in images[len(sources) :])
        drawn = torch.stack([torch.randn(shape, generator=source) for source in sources])
        if device.type == "cuda":
            # Otherwise each of its copies is waited for.
            drawn = drawn.pin_memory()
        return drawn.to(device, non_blocking=True)

    return draw


@dataclass(frozen=True)
class Latents:
    """What all sample sets of a run share, for every snapshot and budget."""

    noise: Tensor
    """(N, C, H, W)."""
    labels: Tensor
    """(N,) classes; zeros without classes."""
    num_classes: int

    @classmethod
    def of(cls, run: Run, data: DataSummary, results: Path = DEFAULT_RESULTS) -> Self:
        """Those of a run on data of that summary; ``results`` is for messages."""
        shape = (data.channels, data.resolution, data.resolution)
        order = list(range(data.classes))
        if order and run.sampling.classes == "data":
            if data.class_counts is None:
                raise TdbenchError(
                    f"{run.name}: its record is of an earlier version, which did not keep how many images each class "
                    f"has; run `{advice.stage('train', run, results)}` again, or set sampling.classes: even"
                )
            order = class_order(data.class_counts)
        count = max(run.sampling.images, run.curve_images if run.curve_snapshots else 0)
        drawn = [image_noise(run.seed, i, shape, order) for i in range(count)]
        noise, labels = torch.stack([n for n, _ in drawn]), torch.tensor([c for _, c in drawn])
        return cls(noise, labels, data.classes)

    def first(self, count: int) -> "Latents":
        """Those of the first ``count`` samples."""
        return Latents(self.noise[:count], self.labels[:count], self.num_classes)

    def condition(self, index: Tensor, device: torch.device) -> Condition:
        return Condition(one_hot(self.labels[index], self.num_classes).float().to(device) if self.num_classes else None)


def sample_run(run: Run, layout: RunLayout, world: World = ALONE) -> None:
    """Sample every scored snapshot at every step budget, then those of the curve; sets that fit are kept.

    Several processes share the batches. Batches and images do not depend on the number of processes.
    """
    device = choose_device(run.training.device, run.training.threads)
    records = Records(layout.results).of(run)
    data = records.trained.data
    denoiser = build_denoiser(run, data, seed=0).to(device).eval()
    scored, curve = sample_jobs(run)
    log = ProgressLog(layout.progress, "sample")
    with progress(f"{run.name} samples", sum(j.samples for j in (*scored, *curve)), "img", log=log) as bar:
        work = _Sampling(records, denoiser, Latents.of(run, data, layout.results), world, bar)
        sets = [work.done(job, layout.sample_set(job.images, job.steps), picture=True) for job in scored]
        cheap = [work.done(job, layout.curve_set(job.images, job.steps), picture=False) for job in curve]
    if world.leader:
        content = Sampled(samples=[r for r in sets if r is not None], curve=[r for r in cheap if r is not None])
        write_json(layout.samples, content)


@dataclass
class _Sampling:
    """Sampling of a run under way."""

    records: RunRecords
    denoiser: Denoiser
    latents: Latents
    world: World
    bar: Any
    loaded: int = 0
    """Images shown at the snapshot whose weights the denoiser has."""

    def done(self, job: SampleJob, path: Path, picture: bool) -> SampleSet | None:
        """The record of a set at ``path``, which is sampled unless it exists and fits; in the leader only."""
        run, entry = self.records.run, self.records.snapshots[job.images]
        key = sample_key(run, entry.sha256, job.steps, job.samples)
        kept = _existing(path, key, picture) if self.world.leader else None
        if self.world.broadcast(kept is not None):
            self.bar.skip(job.samples)
            return kept
        self._load(job.images)
        begun, latents = time.perf_counter(), self.latents.first(job.samples)
        weights = f"{self.records.layout.snapshot(job.images)}"
        pixels, moves = _sample_set(run, self.denoiser, latents, job.steps, weights, self.world, self.bar)
        if not self.world.leader:
            return None
        _write_set(path, pixels, latents, picture)
        record = SampleSet(
            key=key,
            snapshot_images=job.images,
            steps=job.steps,
            nfe=len(moves) + 1,
            estimate_moves=moves,
            file=str(path.relative_to(self.records.layout.folder)),
            sha256=sha256(path),
            seconds=time.perf_counter() - begun,
            provenance=provenance(),
        )
        write_json(path.with_suffix(".json"), record)
        return record

    def _load(self, images: int) -> None:
        if self.loaded != images:
            path, command = self.records.layout.snapshot(images), self.records.command("train")
            check_snapshot(path, self.records.snapshots[images], command)
            load_snapshot(path, self.denoiser, command)
            self.loaded = images


def _existing(path: Path, key: Settings, picture: bool) -> SampleSet | None:
    """The record of a set that was sampled before, if it is complete and this code would sample the same."""
    try:
        record = read_record(path.with_suffix(".json"), "", SampleSet)
        whole = not picture or path.with_suffix(".png").exists()
        fits = record.key == key and same_code(record.provenance) and whole
        return record if fits and record.sha256 == sha256(path) else None
    except TdbenchError:
        return None


def _sample_set(
    run: Run, denoiser: Denoiser, latents: Latents, steps: int, snapshot: str, world: World, bar: Any
) -> tuple[np.ndarray, list[float]]:
    """Images (N, H, W, C) uint8 at a budget, and how far the estimate moved between the NFE evaluations (NFE - 1).

    Every process gets all, and evaluates its share.
    """
    device, sampler, calls = next(denoiser.parameters()).device, run.sampling.sampler, 0
    shape, moves = latents.noise.shape[1:], torch.zeros(0, dtype=torch.float64)
    pixels = torch.zeros(len(latents.noise), *shape, dtype=torch.uint8)
    for turn, index in enumerate(torch.arange(len(latents.noise)).split(run.sampling.batch_size)):
        if turn % world.count == world.rank:
            watched, fresh = WatchedDenoiser(denoiser), fresh_noise(run.seed, index.tolist(), shape, device)
            condition, noise = latents.condition(index, device), latents.noise[index].to(device)
            with without_gradient(device):
                result = sampler.sample(watched, noise, condition, run.formulation, steps, fresh)
            if not result.isfinite().all():
                # Of a path that is finite: the experiment's check has seen to it.
                raise TdbenchError(f"{snapshot}: samples at {steps} steps are not finite; the training diverged")
            pixels[index] = to_uint8(result).cpu()
            calls, share = watched.calls, len(index) / len(latents.noise)
            moves = share * watched.moves() + (moves if len(moves) else 0)
        bar.update(len(index))
    # The leader has the first batch, so it knows the count. Every image is zero in all processes but one.
    nfe = world.broadcast(calls)
    moves = world.sum(moves if calls else torch.zeros(nfe - 1, dtype=torch.float64))
    return world.sum(pixels).permute(0, 2, 3, 1).contiguous().numpy(), moves.tolist()


def _write_set(path: Path, pixels: np.ndarray, latents: Latents, picture: bool) -> None:
    """Write the images of a set with their classes, and a picture of some."""
    with atomic_path(path) as temporary:
        arrays = [pixels, latents.labels.numpy()] if latents.num_classes else [pixels]
        np.savez(temporary, *arrays)
    if picture:
        save_grid(path.with_suffix(".png"), pixels)
