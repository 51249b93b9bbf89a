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
}
_SUMS = ("loss", "base loss", "TD loss", "valid pairs")


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
        self._pending: list[tuple[Tensor, Tensor]] = []
        self._table = torch.zeros(0, 5, dtype=torch.float64)
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

    def add(self, step: int, sums: Tensor, grad_norm: Tensor) -> None:
        """Note step ``step`` (from 1): its `loss_sums` in this process, and the norm of the whole gradient."""
        self._pending.append((sums, grad_norm))
        self._step = step

    def _collect(self) -> Tensor:
        """(steps, 5) float64 on the CPU: each step's sums over all processes, and its gradient's norm.

        Waits for the device and for the other processes, which call it after the same step.
        """
        if self._pending:
            sums = torch.stack([sums for sums, _ in self._pending]).double().cpu()
            norms = torch.stack([norm for _, norm in self._pending]).double().cpu()
            self._table = torch.cat([self._table, torch.cat([self._world.sum(sums), norms[:, None]], dim=1)])
            self._pending = []
        return self._table

    def flush(self, learning_rate: float, ema_decay: float) -> MetricsLine:
        """Write the line of the steps since the last one.

        Raises
        ------
        TrainingDiverged
            If a loss or a gradient was NaN or infinite; names the first such step.
        """
        table = self._collect()
        finite = table.isfinite().all(1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            values = [*(table[first, :3] / self._batch_size).tolist(), *table[first, 3:].tolist()]
            names = (*_SUMS, "gradient norm")
            bad = [f"{n} {v:g}" for n, v in zip(names, values, strict=True) if not math.isfinite(v)]
            raise TrainingDiverged(f"diverged at step {self._step - len(table) + 1 + first}: {', '.join(bad)}")
        line = self._line(table, learning_rate, ema_decay)
        if self._file is not None:
            with writing(self._path):
                self._file.write(json.dumps(line.to_json()) + "\n")
        self._table = self._table[:0]
        return line

    def _line(self, table: Tensor, learning_rate: float, ema_decay: float) -> MetricsLine:
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
            learning_rate=learning_rate,
            ema_decay=ema_decay,
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

    def restore(self, step: int, table: Tensor, written: Written) -> None:
        """Continue after step ``step`` from what `state` gave; lines written since then are removed."""
        self._step, self._table, self._restored = step, table, len(table)
        self._begun = time.perf_counter() - written.seconds
        if self._file is not None:
            size = self._path.stat().st_size
            if size < written.bytes:
                say(f"{self._path}: shorter than when the checkpoint was taken; lines of it are lost")
            self._file.truncate(min(size, written.bytes))
