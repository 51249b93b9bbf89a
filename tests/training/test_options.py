"""Options of training: optimizers, clipping, the rate of the average, mirrored images."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.stored import read_metrics
from tdbench.training import step as steps
from tdbench.training.ema import average_decay
from tdbench.training.loop import train
from tdbench.training.metrics import MetricsWriter
from tdbench.training.state import TrainingState, build_state
from tests.conftest import TINY
from tests.training.test_loop import shorter

CPU = torch.device("cpu")


def with_training(plan: Plan, **training: Any) -> Run:
    return shorter(plan.run("edm-baseline-seed0"), **training)


def after(run: Run, images: ImageSet, folder: Path, count: int) -> TrainingState:
    """The state of a run after ``count`` steps."""
    state, batches = build_state(run, images, CPU), Batches(images, run.training.batch_size, run.seed, CPU)
    folder.mkdir(exist_ok=True)
    with MetricsWriter(folder / "metrics.jsonl", CPU, run.training.batch_size) as metrics:
        for step in range(count):
            steps.one_step(run, state, batches.at(step), step, metrics)
    batches.close()
    return state


def weights(state: TrainingState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.denoiser.parameters()])


@pytest.mark.parametrize("kind", ["adam", "adamw", "radam"])
def test_updates_are_those_of_the_paper_of_each_optimizer(
    kind: str, tiny: Plan, images: ImageSet, tmp_path: Path
) -> None:
    """Six steps from the same gradients by the published recursions, in float64, written out."""
    beta1, beta2, epsilon, decay, rate = 0.8, 0.9, 1e-6, 0.1, 1e-2
    settings = {"kind": kind, "betas": [beta1, beta2], "epsilon": epsilon, "weight_decay": decay}
    run = with_training(tiny, optimizer=settings, learning_rate=rate)
    state = build_state(run, images, CPU)
    source = torch.Generator().manual_seed(0)
    x, m, v = weights(state).double(), 0.0, 0.0
    for t in range(1, 7):
        gradient = torch.randn(len(x), generator=source)
        start = 0
        for p in state.denoiser.parameters():
            p.grad = gradient[start : start + p.numel()].view_as(p).clone()
            start += p.numel()
        state.optimizer.step()
        g = gradient.double()
        if kind == "adamw":
            x = x - rate * decay * x
        else:
            g = g + decay * x
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        mean = m / (1 - beta1**t)
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        if kind == "radam" and length <= 5:
            x = x - rate * mean
            continue
        rectified = 1.0
        if kind == "radam":
            over = (length - 4) * (length - 2) * longest
            rectified = (over / ((longest - 4) * (longest - 2) * length)) ** 0.5
            # As torch has it, epsilon is added before the bias correction of the root.
            x = x - rate * rectified * mean * (1 - beta2**t) ** 0.5 / (v.sqrt() + epsilon)
        else:
            x = x - rate * mean / ((v / (1 - beta2**t)).sqrt() + epsilon)
    torch.testing.assert_close(weights(state).double(), x, rtol=0, atol=2e-6)


def test_a_gradient_longer_than_the_norm_is_scaled_and_a_shorter_one_is_left_to_the_bit(
    tiny: Plan, images: ImageSet, tmp_path: Path
) -> None:
    plain = after(with_training(tiny), images, tmp_path / "a", 1)
    wide = after(with_training(tiny, gradient_clip_norm=1e6), images, tmp_path / "b", 1)
    narrow = after(with_training(tiny, gradient_clip_norm=0.01), images, tmp_path / "c", 1)
    gradients = [torch.cat([p.grad.flatten() for p in s.denoiser.parameters()]) for s in (plain, wide, narrow)]
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(weights(plain), weights(wide))
    assert gradients[0].norm() > 0.01
    torch.testing.assert_close(gradients[2], gradients[0] * 0.01 / gradients[0].norm(), rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_metrics_have_the_norm_before_it_is_clipped(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    norms = []
    for name, settings in (("plain", {}), ("clipped", {"gradient_clip_norm": 0.01})):
        run = with_training(tiny, metrics_every_steps=1, **settings)
        layout = RunLayout(tmp_path / name, run)
        train(run, archive, layout)
        norms.append(read_metrics(layout.metrics)[0].grad_norm)
    assert norms[0] == norms[1] > 0.01


def test_the_average_has_a_constant_rate_or_a_half_life(tiny: Plan, images: ImageSet, tmp_path: Path) -> None:
    constant = with_training(tiny, ema_half_life_kimg=None, ema_decay=0.75)
    assert [average_decay(constant.training, shown) for shown in (64, 640, 10**9)] == [0.75] * 3
    state = after(constant, images, tmp_path / "one", 1)
    first = build_state(constant, images, CPU)
    expected = 0.75 * weights(first) + 0.25 * weights(state)
    averaged = torch.cat([p.flatten() for p in state.average.network.parameters()])
    torch.testing.assert_close(averaged, expected)
    assert constant.training.ema_rampup_ratio is None  # it is of the half-life, and no part of these settings
    half_life = with_training(tiny).training
    assert average_decay(half_life, 10**9) == 0.5 ** (64 / (half_life.ema_half_life_kimg * 1000))


@pytest.mark.slow
def test_half_of_the_images_are_mirrored_the_same_for_both_objectives(
    tiny: Plan, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    batches = Batches(images, 64, 0, CPU)
    for name in ("edm-baseline-seed0", "edm-td-seed0"):
        run = shorter(tiny.run(name), horizontal_flips=True)
        state, objective = build_state(run, images, CPU), type(run.objective)
        real, shown = objective.losses, seen.setdefault(name, [])

        def kept(*arguments: Any, real: Any = real, shown: list[torch.Tensor] = shown) -> Any:
            shown.append(arguments[4])
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(objective, "losses", kept)
            for step in range(20):
                steps.batch_losses(run, state, batches.at(step), step)
    share = []
    for step, (one, other) in enumerate(zip(*seen.values(), strict=True)):
        untouched = batches.at(step).images
        assert torch.equal(one, other)
        as_it_was, mirrored = ((one == side).flatten(1).all(1) for side in (untouched, untouched.flip(-1)))
        assert (as_it_was | mirrored).all()
        share.append(float((mirrored & ~as_it_was).double().mean()))
    batches.close()
    # 1,280 images: four standard deviations of an even choice.
    assert abs(sum(share) / len(share) - 0.5) < 4 * 0.5 / 1280**0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ema_decay": 0.99}, "ema_decay: 0.99: set together with ema_half_life_kimg 0.32; set one of them to null"),
        ({"ema_half_life_kimg": None}, "ema_half_life_kimg: is missing; give it, or ema_decay"),
        ({"ema_half_life_kimg": None, "ema_decay": 1.0}, "training.ema_decay: 1.0: should be less than 1"),
        ({"optimizer": "sgd"}, "training.optimizer: 'sgd': no such optimizer; known: adam, adamw, radam"),
        (
            {"optimizer": {"kind": "adam", "betas": [0.9, 1.0]}},
            "training.optimizer.betas.1: 1.0: should be less than 1",
        ),
        ({"optimizer": {"epsilon": 0}}, "training.optimizer.epsilon: 0: should be greater than or equal to 0.0"),
        ({"optimizer": {"weight_decay": -1}}, "training.optimizer.weight_decay: -1"),
        ({"optimizer": {"momentum": 0.9}}, "training.optimizer.momentum: 0.9: unknown key"),
        ({"betas": [0.9, 0.99]}, "betas: [0.9, 0.99]: belong to the optimizer; write, for example, optimizer: {kind:"),
        ({"optimizer": None}, "training.optimizer: None: should be one of adam, adamw, radam, or a mapping such as"),
        ({"gradient_clip_norm": 0}, "training.gradient_clip_norm: 0: should be greater than or equal to 0.000001"),
        ({"horizontal_flips": "often"}, "training.horizontal_flips: 'often'"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    content = yaml.safe_load(TINY.read_text())
    content["training"] |= settings
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(TdbenchError) as caught:
        load_plan(str(tmp_path / "other.yaml"))
    assert words in str(caught.value) and "\n" not in str(caught.value)
