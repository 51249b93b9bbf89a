"""Metrics of a training that goes on from a checkpoint."""

import time
from pathlib import Path

import pytest
import torch

from tdbench.training.metrics import MetricsWriter, PassCount, StepSettings, Written

CPU = torch.device("cpu")


def test_the_speed_is_that_of_this_process_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that a checkpoint brings count in the means, not in images a second."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with MetricsWriter(tmp_path / "metrics.jsonl", CPU, batch_size=10) as metrics:
        metrics.restore(8, torch.ones(8, 7, dtype=torch.float64), Written(bytes=0, seconds=50.0), None)
        for step in (9, 10):
            now[0] += 1
            metrics.add(step, torch.tensor([31.0, 31.0, 31.0, 10.0]), torch.tensor(1.0), PassCount(30, 10))
        line = metrics.flush(StepSettings(0.1, 0.9))
        assert line.images_per_s == pytest.approx(10) and line.seconds == pytest.approx(52)
        assert (line.network_passes, line.target_passes) == (8 + 60, 8 + 20)
        assert line.loss == pytest.approx((8 * 1 + 2 * 31) / 100)
        now[0] += 2
        metrics.add(11, torch.ones(4), torch.tensor(1.0), PassCount(30, 10))
        assert metrics.flush(StepSettings(0.1, 0.9)).images_per_s == pytest.approx(5)
