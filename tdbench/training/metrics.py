"""Metrics of a training as JSON lines, without waiting for the device in every step."""

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import Losses
from tdbench.errors import TrainingDiverged
from tdbench.records.schema import MetricsLine
from tdbench.runtime.device import memory_mb
from tdbench.runtime.distributed import ALONE, World
from tdbench.runtime.files import make_folder, writing
from tdbench.runtime.progress import say

FIELDS = {
    "loss": "mean training loss since the last line",
    "base_loss": "mean of the formulation's own loss at the same points",
    "td_loss": "mean of w ||delta||^2 over the images with a valid pair",
    "valid_share": "share of images with a valid pair",
    "grad_norm": "mean 2-norm of the gradient",
    "td_lambda": "lambda, the weight of the base loss beside the temporal difference, in the last step",
    "target_decay": "share of the old target that the last step kept",
    "network_passes": "passes of images through the trained network since step 0: 1 forward, 2 backward",
    "target_passes": "passes of images through the target network since step 0",
}
_SUMS = ("loss", "base loss", "TD loss", "valid pairs")
_COLUMNS = len(_SUMS) + 3
"""Columns of the table of steps: sums, norm of the gradient, passes through the network and through its target."""


class StepSettings(NamedTuple):
    """Settings of a step that may change over training."""

    learning_rate: float
    ema_decay: float
    td_lambda: float | None = None
    """lambda of the temporal difference; None in a step of the baseline."""
    target_decay: float | None = None
    """Share of the old target that the step keeps; None without a target."""


class PassCount(NamedTuple):
    """Passes of images: 1 for a forward pass, 2 for a backward pass."""

    network: int = 0
    """Through the network that is trained."""
    target: int = 0
    """Through the target network."""

    def plus(self, other: "PassCount") -> "PassCount":
        """The sum of both."""
        return PassCount(self.network + other.network, self.target + other.target)


def loss_sums(losses: Losses) -> Tensor:
    """(4,) sums over images, on their device: loss, base loss, TD loss, number of valid pairs."""
    with torch.no_grad():
        valid = losses.valid.sum().to(losses.total.device, losses.total.dtype, non_blocking=True)
        return torch.stack([losses.total.sum(), losses.base.sum(), losses.td.sum(), valid])


class Written(NamedTuple):
    """How far a file of metrics goes, and the seconds of training until then."""

    bytes: int
    seconds: float


class MetricsWriter:
    """Collects a step's figures on the device; `flush` reads them, checks them and writes one line.

    Parameters
    ----------
    path : Path
        The file; only the leader of ``world`` writes.
    batch_size : int
        Images of a step, over all processes.
    world : World
        The processes whose sums are added.
    """

    def __init__(self, path: Path, device: torch.device, batch_size: int, world: World = ALONE) -> None:
        make_folder(path.parent)
        self._path, self._world = path, world
        with writing(path):
            self._file = path.open("a", encoding="utf-8", buffering=1) if world.leader else None
        self._device, self._batch_size = device, batch_size
        self._pending: list[tuple[Tensor, Tensor, PassCount]] = []
        self._table = torch.zeros(0, _COLUMNS, dtype=torch.float64)
        self._passes = PassCount()
        self._step = self._restored = 0
        self._begun = self._last = time.perf_counter()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file is not None:
            # What could not be written is tried once more here, and has been reported.
            with suppress(OSError) if kind else writing(self._path):
                self._file.close()

    @property
    def seconds(self) -> float:
        """Time of training so far, that of earlier processes included."""
        return time.perf_counter() - self._begun

    def add(self, step: int, sums: Tensor, grad_norm: Tensor, passes: PassCount) -> None:
        """Note step ``step`` (from 1).

        Parameters
        ----------
        sums : Tensor
            `loss_sums` of the images of this process.
        grad_norm : Tensor
            Norm of the whole gradient.
        passes : PassCount
            Of the images of this process.
        """
        self._pending.append((sums, grad_norm, passes))
        self._step = step

    def passes(self) -> PassCount:
        """Passes since step 0, over all processes; to be called by every process after the same step."""
        return self._passes.plus(PassCount(*(int(total) for total in self._collect()[:, 5:].sum(0))))

    def _collect(self) -> Tensor:
        """(steps, 7) float64 on the CPU: each step's sums over all processes, its gradient's norm, and its passes.

        Waits for the device and for the other processes, which call it after the same step.
        """
        if self._pending:
            sums = torch.stack([sums for sums, _, _ in self._pending]).double().cpu()
            norms = torch.stack([norm for _, norm, _ in self._pending]).double().cpu()
            passes = torch.tensor([passes for _, _, passes in self._pending], dtype=torch.float64)
            added = [self._world.sum(sums), norms[:, None], self._world.sum(passes)]
            self._table = torch.cat([self._table, torch.cat(added, dim=1)])
            self._pending = []
        return self._table

    def flush(self, settings: StepSettings) -> MetricsLine:
        """Write the line of the steps since the last one; ``settings`` are those of the last step.

        Raises
        ------
        TrainingDiverged
            If a loss or a gradient was NaN or infinite; names the first such step.
        """
        table = self._collect()
        finite = table.isfinite().all(1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            values = [*(table[first, :3] / self._batch_size).tolist(), *table[first, 3:5].tolist()]
            names = (*_SUMS, "gradient norm")
            bad = [f"{n} {v:g}" for n, v in zip(names, values, strict=True) if not math.isfinite(v)]
            raise TrainingDiverged(f"diverged at step {self._step - len(table) + 1 + first}: {', '.join(bad)}")
        self._passes = self.passes()
        line = self._line(table, settings)
        if self._file is not None:
            with writing(self._path):
                self._file.write(json.dumps(line.to_json()) + "\n")
        self._table = self._table[:0]
        return line

    def _line(self, table: Tensor, settings: StepSettings) -> MetricsLine:
        now, images = time.perf_counter(), len(table) * self._batch_size
        (loss, base, td, valid), norm = table[:, :4].sum(0).tolist(), table[:, 4].mean().item()
        # Steps from before a checkpoint took another process's time.
        speed = (images - self._restored * self._batch_size) / (now - self._last)
        self._last, self._restored = now, 0
        shown = self._step * self._batch_size
        return MetricsLine(
            step=self._step,
            images=shown,
            kimg=shown / 1000,
            loss=loss / images,
            base_loss=base / images,
            td_loss=td / valid if valid else None,
            valid_share=valid / images,
            grad_norm=norm,
            images_per_s=speed,
            seconds=self.seconds,
            memory_mb=memory_mb(self._device),
            **settings._asdict(),
            network_passes=self._passes.network,
            target_passes=self._passes.target,
        )

    def state(self) -> tuple[Tensor, Written]:
        """What a checkpoint needs: figures not yet written, and how far the file goes, all of which is on the disk.

        To be called by every process after the same step.
        """
        size = 0
        if self._file is not None:
            with writing(self._path):
                self._file.flush()
                os.fsync(self._file.fileno())
            size = self._path.stat().st_size
        return self._collect(), Written(size, self.seconds)

    def restore(self, step: int, table: Tensor, written: Written, line: MetricsLine | None) -> None:
        """Continue after step ``step`` from what `state` gave; lines written since then are removed.

        ``line`` is the last line written before; None if there was none.

        Raises
        ------
        ValueError
            If a version that counted no passes wrote them.
        """
        counts = (0, 0) if line is None else (line.network_passes, line.target_passes)
        if table.ndim != 2 or table.shape[1] != _COLUMNS or None in counts:
            raise ValueError("metrics of another version of tdbench")
        self._passes = PassCount(*(int(count or 0) for count in counts))
        self._step, self._table, self._restored = step, table, len(table)
        self._begun = time.perf_counter() - written.seconds
        if self._file is not None:
            size = self._path.stat().st_size
            if size < written.bytes:
                say(f"{self._path}: shorter than when the checkpoint was taken; lines of it are lost")
            self._file.truncate(min(size, written.bytes))
