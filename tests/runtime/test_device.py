"""A step of training on a GPU: nothing waits for it, and CPU and GPU meet only in copies. On a fake GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.training.metrics import MetricsWriter
from tdbench.training.state import TrainingState, build_state
from tdbench.training.step import batch_losses, one_step
from tests.fake_cuda import CUDA, Waits, gpu

__all__ = ["gpu"]
STEPS = 2


class Small(nn.Module):
    """What a network is fed with, joined by few operations: fake ones take as long as real ones."""

    def __init__(self, channels: int, classes: int, augmentation: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 3, padding=1)
        self.labels = nn.Linear(classes, channels)
        self.augmentation = nn.Linear(augmentation, channels) if augmentation else None
        self.dropout = nn.Dropout(0.1)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor, augmentation: Tensor | None) -> Tensor:
        told = self.labels(labels) + self.scale * c_noise[:, None]
        if self.augmentation is not None:
            told = told + self.augmentation(augmentation)
        return self.dropout(self.layer(x) + told[:, :, None, None])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(settings: Any, channels: int, resolution: int, classes: int, augmentation: int, *_: Any) -> nn.Module:
        return Small(channels, classes, augmentation)

    monkeypatch.setattr("tdbench.training.state.build_network", build)


def changed(plan: Plan, objective: str = "td", formulation: Any = "edm", target: Any = None, **training: Any) -> Run:
    content = plan.run(f"edm-{objective}-seed0").alone().model_dump(by_alias=True)
    content["formulation"] = {"kind": formulation} if isinstance(formulation, str) else formulation
    if objective == "td":
        content["objective"] = {"kind": "td"} | ({} if target is None else {"target": target})
    content["training"] |= training
    run = Run.model_validate(content)
    return run.model_copy(update={"objective": run.objective.resolved(run.formulation)})


def train_watched(gpu: Any, run: Run, images: ImageSet, folder: Path, resident: bool = True) -> TrainingState:
    """Some steps that must not wait; building the networks may."""
    state = build_state(run, images, CUDA)
    batches = Batches(images, run.training.batch_size, run.seed, CUDA, resident=resident)
    with MetricsWriter(folder / "metrics.jsonl", CUDA, run.training.batch_size) as metrics, gpu.watched():
        for step in range(STEPS):
            batch = batches.at(step)
            assert batch.images.device.type == "cuda"
            one_step(run, state, batch, step, metrics)
            assert batch_losses(run, state, batch, step).total.device.type == "cuda"
    assert all(p.grad is not None for p in state.denoiser.parameters())
    # Only copies from page-locked memory can go on beside other work; the digits are too few bytes to tell by waiting.
    assert bool(gpu.pinned) == (not resident)
    return state


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("objective", ["baseline", "td"])
@pytest.mark.parametrize("kind", FORMULATIONS)
def test_no_formulation_waits(
    kind: str, objective: str, gpu: Any, tiny: Plan, images: ImageSet, tmp_path: Path
) -> None:
    state = train_watched(gpu, changed(tiny, objective, kind), images, tmp_path)
    networks = [state.denoiser, state.average.network] + ([state.target.network] if state.target else [])
    for network in networks:
        assert {p.device.type for p in network.parameters()} == {"cuda"}
        assert {p.dtype for p in network.parameters()} == {torch.float32}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "formulation",
    [{"kind": "ddpm", "schedule": "cosine"}]
    + [{"kind": "ct", "loss_weight": w} for w in ("karras", "truncated-snr", "inverse-gap")]
    + [{"kind": "ct", "distance": d} for d in ("l1", "pseudo-huber")],
)
def test_no_setting_of_a_formulation_waits(
    formulation: Any, gpu: Any, tiny: Plan, images: ImageSet, tmp_path: Path
) -> None:
    train_watched(gpu, changed(tiny, formulation=formulation), images, tmp_path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("target", [{"kind": "hard", "period": 2}, "online", {"decay": 0.5}])
def test_no_target_waits(target: Any, gpu: Any, tiny: Plan, images: ImageSet, tmp_path: Path) -> None:
    train_watched(gpu, changed(tiny, target=target), images, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("microbatch", [None, 24])
@pytest.mark.parametrize("augmentation", [0.0, 0.5])
@pytest.mark.parametrize("resident", [True, False])
def test_no_way_of_training_waits(
    precision: str,
    microbatch: int | None,
    augmentation: float,
    resident: bool,
    gpu: Any,
    tiny: Plan,
    images: ImageSet,
    tmp_path: Path,
) -> None:
    settings = {"precision": precision, "microbatch_size": microbatch, "augmentation": augmentation}
    run = changed(tiny, **settings, rampup_kimg=0.1)
    train_watched(gpu, run, images, tmp_path, resident)


@pytest.mark.slow
def test_nothing_in_diffusers_network_waits(gpu: Any, tiny: Plan, images: ImageSet, tmp_path: Path) -> None:
    train_watched(gpu, changed(tiny, augmentation=0.5, precision="bf16"), images, tmp_path)


CARELESS = {
    "a value": lambda x: x.sum().item(),
    "a truth": lambda x: bool(x.sum() > 0),
    "a number": lambda x: float(x[0, 0]),
    "a list": lambda x: x.tolist(),
    "a comparison": lambda x: torch.equal(x, x),
    "places": lambda x: x.nonzero(),
    "a choice": lambda x: x[x > 0],
    "a copy back": lambda x: x.cpu(),
    "a copy back that is not waited for": lambda x: x.to("cpu", non_blocking=True),
    "a copy": lambda x: torch.ones(3).to(x.device),
    "a large copy": lambda x: torch.ones(2**17).to(x.device, non_blocking=True),
    "a copy in place": lambda x: x.copy_(torch.ones(3, 4)),
    "a new tensor": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "another device": lambda x: x * torch.ones(3, 4),
    "another device's index": lambda x: x[torch.tensor([0, 2])],
}


@pytest.mark.parametrize("name", CARELESS)
def test_the_fake_gpu_notices(name: str, gpu: Any) -> None:
    x = torch.zeros(3, 4, device=CUDA)
    with pytest.raises(Exception) as caught, gpu.watched():  # noqa: PT011, PyTorch's are of many kinds
        CARELESS[name](x)
    assert isinstance(caught.value, Waits) or "DataDependent" in caught.typename or "Dynamic" in caught.typename


def test_the_fake_gpu_lets_pass_what_does_not_wait(gpu: Any) -> None:
    x = torch.zeros(3, 4, device=CUDA)
    with gpu.watched():
        y = x * torch.tensor(2.0) + torch.ones(3, 4).to(CUDA, non_blocking=True)
    assert y.device.type == "cuda" and float(torch.ones(2).sum()) == 2
