"""Metrics of a training as JSON lines, without a wait for the device in every step."""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tdbench.device import memory_mb
from tdbench.diffusion.formulations.base import Losses
from tdbench.errors import TrainingDiverged
from tdbench.files import make_folder

FIELDS = {
    "loss": "mean training loss since the last line",
    "base_loss": "mean of the formulation's own loss at the same points",
    "td_loss": "mean of w ||delta||^2 over the images with a valid pair",
    "valid_share": "share of images with a valid pair",
    "grad_norm": "mean 2-norm of the gradient",
}


class _StepValues(NamedTuple):
    step: int
    values: Tensor
    """loss, base loss, sum of TD losses, number of valid pairs, number of images, gradient norm."""


class MetricsWriter:
    """Collects a step's figures on the device; `flush` reads them, checks them and writes one line."""

    def __init__(self, path: Path, device: torch.device, batch_size: int) -> None:
        make_folder(path.parent)
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._device, self._batch_size = device, batch_size
        self._pending: list[_StepValues] = []
        self._begun = self._last = time.perf_counter()

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, step: int, losses: Losses, grad_norm: Tensor) -> None:
        with torch.no_grad():
            values = [losses.total.mean(), losses.base.mean(), losses.td.sum(), losses.valid.sum()]
            count = torch.tensor(float(len(losses.total)), device=grad_norm.device)
            self._pending.append(_StepValues(step, torch.stack([*values, count, grad_norm])))

    def flush(self, learning_rate: float, ema_decay: float) -> dict[str, Any]:
        """Write the line of the steps since the last one.

        Raises
        ------
        TrainingDiverged
            If a loss or a gradient was NaN or infinite; names the first such step.
        """
        table = torch.stack([p.values for p in self._pending]).double().cpu()
        finite = table.isfinite().all(1)
        if not finite.all():
            first = int((~finite).nonzero()[0])
            names = ("loss", "base loss", "TD loss", "valid pairs", "images", "gradient norm")
            bad = [f"{n} {v:g}" for n, v in zip(names, table[first].tolist(), strict=True) if not math.isfinite(v)]
            raise TrainingDiverged(f"diverged at step {self._pending[first].step}: {', '.join(bad)}")
        now = time.perf_counter()
        mean, total = table.mean(0).tolist(), table.sum(0).tolist()
        step, steps = self._pending[-1].step, len(self._pending)
        line = {
            "step": step,
            "images": step * self._batch_size,
            "kimg": step * self._batch_size / 1000,
            "loss": mean[0],
            "base_loss": mean[1],
            "td_loss": total[2] / total[3] if total[3] else None,
            "valid_share": total[3] / total[4],
            "grad_norm": mean[5],
            "learning_rate": learning_rate,
            "ema_decay": ema_decay,
            "images_per_s": steps * self._batch_size / (now - self._last),
            "seconds": now - self._begun,
            "memory_mb": memory_mb(self._device),
        }
        self._file.write(json.dumps(line) + "\n")
        self._pending, self._last = [], now
        return line


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line cut short by a killed process is left out."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
