"""The measured trainings: runs of the default experiment with other networks, sizes and number formats."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batch, Batches
from tdbench.data.sources import digits
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.networks import NOMINAL
from tdbench.training.metrics import MetricsWriter, StepSettings
from tdbench.training.state import TrainingState, build_state
from tdbench.training.step import one_step

IMAGES, CLASSES = 1024, 10

EXACT = {"precision": "fp32", "target_precision": "fp32"}
"""Training settings for which both networks compute in float32 without TF32."""


@cache
def default_plan() -> Plan:
    """Return the plan of the default experiment."""
    return load_plan("digits")


def varied(name: str, network: str, batch_size: int, **training: Any) -> Run:
    """Return a run of the default experiment, such as ``edm-td-seed0``, with another network and training settings."""
    content = default_plan().run(name).alone().model_dump(by_alias=True)
    content["network"]["kind"] = network
    content["training"] |= {"batch_size": batch_size} | training
    return Run.model_validate(content)


@cache
def images_for(network: str, resolution: int | None = None) -> ImageSet:
    """Return images of the network's nominal size or another: the digits if they fit, otherwise random images."""
    nominal, channels = NOMINAL[network]
    size = resolution or nominal
    if (size, channels) == (8, 1):
        found = digits()
        return ImageSet(found.images, found.labels, checksum="0" * 64, path=Path("digits"))
    source = np.random.default_rng(0)
    pixels = source.integers(0, 256, (IMAGES, channels, size, size), dtype=np.uint8)
    return ImageSet(pixels, np.arange(IMAGES) % CLASSES, checksum="1" * 64, path=Path("random"))


class Training:
    """One training with the same steps as `tdbench.training.loop`: batch, losses, updates, metrics."""

    def __init__(self, run: Run, data: ImageSet, device: torch.device) -> None:
        self.run = run
        self.state: TrainingState = build_state(run, data, device)
        self.batches = Batches(data, run.training.batch_size, run.seed, device)
        self._folder = tempfile.TemporaryDirectory(prefix="tdbench-")
        self.metrics = MetricsWriter(Path(self._folder.name) / "metrics.jsonl", device, run.training.batch_size)
        self.done = 0

    def step(self) -> None:
        """Do the next step with its batch, and write the line of metrics if it is due."""
        used = self.step_with(self.batches.at(self.done % self.run.training.steps))
        if self.done % self.run.training.metrics_every_steps == 0:
            self.metrics.flush(used)

    def step_with(self, batch: Batch) -> StepSettings:
        """Do the next step on a given batch, without a line of metrics."""
        step = self.done % self.run.training.steps
        self.done += 1
        return one_step(self.run, self.state, batch, step, self.metrics)
