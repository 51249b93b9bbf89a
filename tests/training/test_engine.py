"""Number formats and compilation: what `auto` takes, what stays float32, and a compiler that fails."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches
from tdbench.diffusion.preconditioning import Condition
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.stored import read_metrics
from tdbench.training import loop
from tdbench.training.engine import LARGE, LONG, Engine, choose_engine
from tdbench.training.loop import train
from tdbench.training.metrics import MetricsWriter
from tdbench.training.state import build_state
from tdbench.training.step import one_step
from tests.training.test_checkpoint import interrupted, outcome
from tests.training.test_loop import CPU, shorter

BF16 = {"precision": "bf16", "target_precision": "bf16"}


def losses(layout: RunLayout) -> list[float]:
    return [line.loss for line in read_metrics(layout.metrics)]


def recorded(layout: RunLayout) -> Any:
    record = json.loads(layout.settings.read_text())
    assert record["engine"] == record["parts"][-1]["engine"]
    return record["engine"]


@pytest.fixture
def trained(tiny: Plan, archive: Path, tmp_path: Path) -> Callable[..., RunLayout]:
    """Ten steps with those settings."""

    def trained(name: str, **training: Any) -> RunLayout:
        run = shorter(tiny.run("edm-td-seed0"), metrics_every_steps=1, **training)
        layout = RunLayout(tmp_path / name, run)
        train(run, archive, layout)
        return layout

    return trained


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """PyTorch's compiler up to the making of machine code, which takes two minutes; the networks it was given."""
    compiled, real = [], nn.Module.compile

    def compile_module(module: nn.Module) -> None:
        compiled.append(module)
        real(module, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    return compiled


@pytest.mark.slow
def test_a_compiled_training_is_the_same(
    trained: Any,
    quick_compiler: list[nn.Module],
    tiny: Plan,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    eager, compiled = trained("eager", compile=False), trained("compiled", compile=True)
    assert len(quick_compiler) == 2 and recorded(compiled)["compiled"] and not recorded(eager)["compiled"]
    assert losses(compiled) == pytest.approx(losses(eager), rel=1e-5)
    mine, theirs = load_file(eager.snapshot(640)), load_file(compiled.snapshot(640))
    assert mine.keys() == theirs.keys() and max((mine[key] - theirs[key]).abs().max() for key in mine) < 1e-4
    # A checkpoint of a compiled training is like any other.
    run = shorter(tiny.run("edm-td-seed0"), metrics_every_steps=1, compile=True)
    broken = RunLayout(tmp_path / "broken", run)
    interrupted(run, archive, broken, 4, monkeypatch)
    train(run, archive, broken)
    assert outcome(broken) == outcome(compiled)


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 2])
def test_a_compiler_that_fails_is_done_without(
    calls: int,
    trained: Any,
    images: ImageSet,
    tiny: Plan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the first network, or with the second, the target."""
    compiled, states, real = [], [], loop.build_state

    def failing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no compiler here\nand more")

    def compile_module(module: nn.Module) -> None:
        compiled.append(module)
        module._compiled_call_impl = failing if len(compiled) == calls else module._call_impl

    def built(*arguments: Any) -> Any:
        states.append(real(*arguments))
        return states[-1]

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    monkeypatch.setattr(loop, "build_state", built)
    layout = trained("failed", compile=True)
    said = capsys.readouterr().err
    assert said.count("torch.compile failed, continuing without it: no compiler here\n") == 1 and "and more" not in said
    assert len(compiled) == calls and not recorded(layout)["compiled"]
    assert all(part._compiled_call_impl is None for part in states[0].denoiser.modules())
    assert losses(layout) == losses(trained("eager", compile=False))


@pytest.mark.slow
def test_bf16_differs_by_its_rounding_alone(trained: Any) -> None:
    exact = losses(trained("fp32", precision="fp32", target_precision="fp32"))
    for name, formats in {"both": BF16, "target": {"target_precision": "bf16", "precision": "fp32"}}.items():
        layout = trained(name, **formats)
        rounded = losses(layout)
        assert rounded != exact and rounded == pytest.approx(exact, rel=0.01)
        engine = recorded(layout)
        assert {key: engine[key] for key in formats} == formats
        assert {value.dtype for value in load_file(layout.snapshot(640)).values()} == {torch.float32}


@pytest.mark.parametrize("objective", ["baseline", "td"])
def test_under_bf16_all_that_is_kept_is_float32(
    objective: str, tiny: Plan, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shorter(tiny.run(f"edm-{objective}-seed0"), augmentation=0.3, **BF16)
    state, batches, raw = build_state(run, images, CPU), Batches(images, 64, run.seed, CPU), []
    state.denoiser.network.register_forward_hook(lambda *call: raw.append(call[2].dtype))
    with MetricsWriter(tmp_path / "metrics.jsonl", CPU, 64) as metrics:
        for step in range(2):
            one_step(run, state, batches.at(step), step, metrics)
    assert raw == [torch.bfloat16] * 2
    assert {value.dtype for value in state.tensors().values()} == {torch.float32}
    assert {p.grad.dtype for p in state.denoiser.parameters() if p.grad is not None} == {torch.float32}
    batch = batches.at(0)
    told = Condition(batch.labels, torch.zeros(64, 9))
    for call in filter(None, (state.trained_call(), state.target_call())):
        assert call(batch.images, torch.full((64, 1, 1, 1), 0.5).double(), told).dtype == torch.float32


@pytest.mark.slow
def test_bf16_goes_on_exactly(tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shorter(tiny.run("edm-td-seed0"), metrics_every_steps=3, **BF16)
    whole, broken = RunLayout(tmp_path / "whole", run), RunLayout(tmp_path / "broken", run)
    train(run, archive, whole)
    interrupted(run, archive, broken, 7, monkeypatch)
    train(run, archive, broken)
    assert outcome(broken) == outcome(whole)


def test_a_copy_of_a_compiled_network_is_one_of_its_own(
    quick_compiler: list[nn.Module], tiny: Plan, images: ImageSet
) -> None:
    network = build_state(shorter(tiny.run("edm-baseline-seed0"), compile=False), images, CPU).denoiser.network
    names = list(network.state_dict())
    network.compile()
    copied = copy.deepcopy(network)
    assert list(copied.state_dict()) == list(network.state_dict()) == names
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    x, labels = torch.ones(2, 1, 8, 8), torch.eye(10)[:2]
    assert not copied(x, torch.zeros(2), labels).any()


@pytest.fixture
def tf32_flags() -> Iterator[None]:
    """The process's own, as they were."""
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    yield
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value


@pytest.mark.usefixtures("tf32_flags")
@pytest.mark.parametrize(
    ("device", "native", "parameters", "expected"),
    [
        ("cpu", False, LARGE, "fp32"),
        ("cpu", True, LARGE - 1, "fp32"),
        ("cpu", True, LARGE, "bf16"),
        ("cuda", False, LARGE, "tf32"),
        ("cuda", True, 1, "bf16"),
    ],
)
def test_what_auto_takes(
    device: str, native: bool, parameters: int, expected: str, tiny: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tdbench.training.engine.native_bf16", lambda device: native)
    cuda, where = device == "cuda", torch.device(device)
    run: Run = tiny.run("edm-td-seed0")
    long = shorter(run, duration_kimg=0.064 * LONG)
    assert choose_engine(long.training, where, parameters) == Engine(expected, expected, cuda, cuda)
    if cuda:
        assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    assert not choose_engine(shorter(run).training, where, parameters).compiled
    assert choose_engine(shorter(run, compile=True).training, where, parameters).compiled
    # A target is never cheaper than its network unless the experiment says so: that biases the gradient.
    found = choose_engine(shorter(run, precision="fp32").training, where, parameters)
    assert (found.precision, found.target_precision) == ("fp32", "fp32")
    found = choose_engine(shorter(run, precision="tf32", target_precision="fp32").training, where, parameters)
    assert (found.precision, found.target_precision) == ("fp32", "fp32")
    if cuda:
        # One setting for the whole process: what has to be exact decides.
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
