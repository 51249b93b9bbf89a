"""`tdbench plan` speaks to who asks: hours of this machine where it has no GPU, in units that can be read."""

import re
from pathlib import Path

import pytest
import torch

from tdbench.workflow import budget, throughput
from tests.cases.calls import INPUTS, tdbench
from tests.conftest import TINY


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_small_networks_are_measured_on_a_machine_without_a_gpu(tmp_path: Path) -> None:
    out = tdbench("plan", TINY, cwd=tmp_path).out
    line = next(line for line in out.splitlines() if "hours" in line)
    assert re.match(
        r"hours of this machine +[\d.]+ (s|min) +training [\d.]+ (s|min), sampling [\d.]+ (s|min), at ", line
    )
    assert "measured on this machine (" in line and "e-" not in line


def test_large_networks_are_planned_with_a_gpu_and_the_way_to_ask_is_said() -> None:
    found = throughput.usual_throughput(["unet-tiny", "ddpmpp"], 1)
    assert found.tflops == budget.PUBLISHED.tflops and found.hours == "GPU hours"
    assert "this machine has no GPU; --measure estimates hours on it" in found.origin


def test_the_size_of_images_is_that_of_the_data(tmp_path: Path) -> None:
    """An archive that is there already, of 8x8 in grey; before, it was that of CIFAR-10."""
    text = (INPUTS / "few-images" / "three.yaml").read_text().replace("unet-tiny", "unet-small")
    (tmp_path / "e.yaml").write_text(text)
    assert "for images of 32x32x3" in tdbench("plan", "e.yaml", "--tflops", 1, cwd=tmp_path).out
    (tmp_path / "three.zip").write_bytes((INPUTS / "few-images" / "three.zip").read_bytes())
    assert "for images of 8x8x1" in tdbench("plan", "e.yaml", "--tflops", 1, cwd=tmp_path).out


@pytest.mark.parametrize(
    ("hours", "said"),
    [(1.8e-6, "< 0.1 s"), (0.001, "3.6 s"), (0.02, "1.2 min"), (0.1, "0.1"), (3.14, "3.1"), (12345, "12,345")],
)
def test_units(hours: float, said: str) -> None:
    assert budget._hours(hours) == said
