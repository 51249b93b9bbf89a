"""The temporal difference from a share of training on, its schedules, and the target that follows for the mechanism."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches
from tdbench.diffusion.objectives.targets import TargetEMA
from tdbench.experiment.equal_passes import step_passes
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.schema import Finished, Trained, read_record
from tdbench.records.stored import read_metrics
from tdbench.training.loop import train
from tdbench.training.metrics import MetricsWriter
from tdbench.training.state import build_state
from tdbench.training.step import one_step
from tests.training.test_checkpoint import interrupted, outcome
from tests.training.test_loop import shorter

STEPS, CPU = 10, torch.device("cpu")


def run_of(plan: Plan, objective: dict[str, Any], name: str = "edm-td-seed0") -> Run:
    """A training of ten steps that keeps a checkpoint and a line of metrics after each."""
    run = shorter(plan.run(name), checkpoint_minutes=0, metrics_every_steps=1)
    content = run.model_dump(by_alias=True)
    content["objective"] |= objective
    return Run.model_validate(content)


def trained(run: Run, archive: Path, folder: Path) -> RunLayout:
    layout = RunLayout(folder, run)
    train(run, archive, layout)
    return layout


def last_weights(layout: RunLayout) -> bytes:
    return layout.snapshot(64 * STEPS).read_bytes()


@pytest.mark.slow
def test_begin_1_is_the_baseline_and_begin_0_the_temporal_difference_to_the_bit(
    tiny: Plan, archive: Path, tmp_path: Path
) -> None:
    td = tiny.run("edm-td-seed0").objective.model_dump(by_alias=True)
    del td["begin"]
    runs = {
        "baseline": run_of(tiny, {}, "edm-baseline-seed0"),
        "never": run_of(tiny, {"begin": 1}),
        "td": run_of(tiny, td),
        "at once": run_of(tiny, {"begin": 0}),
    }
    found = {name: trained(run, archive, tmp_path / name) for name, run in runs.items()}
    weights = {name: last_weights(layout) for name, layout in found.items()}
    assert weights["never"] == weights["baseline"] and weights["at once"] == weights["td"] != weights["baseline"]
    never = read_metrics(found["never"].metrics)
    assert [line.target_passes for line in never] == [0] * STEPS and never[-1].td_loss is None
    assert step_passes(runs["never"]) == step_passes(runs["baseline"])


@pytest.mark.slow
def test_before_begin_it_is_the_baseline_and_evaluates_no_target(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    run, base = run_of(tiny, {"begin": 0.45}), run_of(tiny, {}, "edm-baseline-seed0")
    ours, theirs = (read_metrics(trained(r, archive, tmp_path / r.objective_name).metrics) for r in (run, base))
    # Step 5 (from 0) is the first at half of ten steps.
    assert [line.loss for line in ours[:5]] == [line.loss for line in theirs[:5]] and ours[5].loss != theirs[5].loss
    assert [line.target_passes for line in ours[:5]] == [0] * 5
    seen = ours[5].target_passes or 0
    assert 0 < seen <= 64 and (ours[-1].target_passes or 0) <= 5 * 64
    assert [line.network_passes for line in ours] == [3 * 64 * step for step in range(1, STEPS + 1)]
    assert [line.td_lambda for line in ours] == [None] * 5 + [0.5] * 5
    assert [line.target_decay for line in ours] == [None] * 5 + [0.9] * 5
    assert ours[-1].td_loss is not None and ours[4].td_loss is None
    counted = (ours[-1].network_passes or 0) + (ours[-1].target_passes or 0)
    assert STEPS * step_passes(run) == pytest.approx(counted, rel=0.05)


def test_the_target_starts_as_a_copy(tiny: Plan, images: ImageSet, tmp_path: Path) -> None:
    """In the first step with a target it is the network as it was before that step."""
    run = run_of(tiny, {"begin": 0.2, "target": {"kind": "ema", "decay": 0.75}})
    state, batches = build_state(run, images, CPU), Batches(images, 64, run.seed, CPU)
    before: list[torch.Tensor] = []
    with MetricsWriter(tmp_path / "metrics.jsonl", CPU, 64) as metrics:
        for step in range(3):
            before = [p.detach().clone() for p in state.denoiser.parameters()]
            one_step(run, state, batches.at(step), step, metrics)
    batches.close()
    assert state.target is not None
    for copy, now, target in zip(before, state.denoiser.parameters(), state.target.network.parameters(), strict=True):
        torch.testing.assert_close(target, 0.75 * copy + 0.25 * now.detach())


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 5, 6])
def test_interrupted_on_either_side_of_the_switch_it_ends_with_the_same_bits(
    step: int, tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tiny, {"begin": 0.5, "lambda": [[0.5, 2.0], [1, 0.1]]})
    whole, broken = trained(run, archive, tmp_path / "whole"), RunLayout(tmp_path / "broken", run)
    interrupted(run, archive, broken, step, monkeypatch)
    train(run, archive, broken)
    assert outcome(broken) == outcome(whole)


@pytest.mark.slow
def test_schedules_are_recorded_with_the_values_of_each_step(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    objective = {"lambda": [[0, 2.0], [0.5, 0.1]], "target": {"kind": "ema", "decay": [[0, 0.5], [1, 0.9]]}}
    lines = read_metrics(trained(run_of(tiny, objective), archive, tmp_path).metrics)
    assert [line.td_lambda for line in lines] == pytest.approx([max(2.0 - 0.38 * i, 0.1) for i in range(STEPS)])
    assert [line.target_decay for line in lines] == pytest.approx([0.5 + 0.04 * i for i in range(STEPS)])


def average(copy: list[torch.Tensor], weights: list[list[torch.Tensor]], decay: float) -> list[torch.Tensor]:
    for now in weights:
        copy = [decay * a + (1 - decay) * b for a, b in zip(copy, now, strict=True)]
    return copy


@pytest.mark.slow
def test_in_a_baseline_a_target_follows_that_changes_nothing(
    tiny: Plan, archive: Path, images: ImageSet, tmp_path: Path
) -> None:
    """Its file has the trained network and the average of its weights, and the training's bits are the same."""
    plain = run_of(tiny, {}, "edm-baseline-seed0")
    asked = tiny.run("edm-td-seed0").objective.model_copy(update={"target": TargetEMA(decay=0.5)})
    run = Run.model_validate(plain.model_dump(by_alias=True) | {"mechanism_td": asked.model_dump(by_alias=True)})
    layout = trained(run, archive, tmp_path / "asked")
    assert last_weights(layout) == last_weights(trained(plain, archive, tmp_path / "plain"))
    entries = read_record(layout.snapshots, "", Finished).snapshots
    assert [entry.networks is None for entry in entries] == [True, False]
    assert entries[-1].networks is not None and entries[-1].networks.target == {"kind": "ema", "decay": 0.5}
    kept = load_file(layout.networks)

    state, batches, weights = build_state(plain, images, CPU), Batches(images, 64, plain.seed, CPU), []
    with MetricsWriter(tmp_path / "metrics.jsonl", CPU, 64) as metrics:
        for step in range(STEPS):
            one_step(plain, state, batches.at(step), step, metrics)
            weights.append([p.detach().clone() for p in state.denoiser.parameters()])
    batches.close()
    names = [name for name, _ in state.denoiser.named_parameters()]
    for name, now, mean in zip(names, weights[-1], average(weights[0], weights[1:], 0.5), strict=True):
        assert torch.equal(kept[f"trained/{name}"], now)
        torch.testing.assert_close(kept[f"target/{name}"], mean)
    assert not list((layout.training).glob("checkpoints"))


@pytest.mark.slow
def test_a_follower_is_resumed_too(tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shorter(tiny.run("edm-baseline-seed0"), checkpoint_minutes=0)
    content = run.model_dump(by_alias=True)
    content["mechanism_td"] = tiny.run("edm-td-seed0").objective.model_dump(by_alias=True)
    run = Run.model_validate(content)
    whole, broken = trained(run, archive, tmp_path / "whole"), RunLayout(tmp_path / "broken", run)
    interrupted(run, archive, broken, 5, monkeypatch)
    train(run, archive, broken)
    assert broken.networks.read_bytes() == whole.networks.read_bytes()


@pytest.mark.slow
def test_another_target_for_the_mechanism_trains_nothing_again(
    tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on with another one keeps its steps, and no target."""
    runs = []
    for decay in (0.5, 0.9):
        asked = tiny.run("edm-td-seed0").objective.model_copy(update={"target": TargetEMA(decay=decay)})
        run = shorter(tiny.run("edm-baseline-seed0"), checkpoint_minutes=0)
        runs.append(
            Run.model_validate(run.model_dump(by_alias=True) | {"mechanism_td": asked.model_dump(by_alias=True)})
        )
    first, second = runs
    assert first.training_settings() == second.training_settings() and first.follower != second.follower
    layout = RunLayout(tmp_path, second)
    interrupted(first, archive, layout, 5, monkeypatch)
    train(second, archive, layout)
    record = read_record(layout.settings, "", Trained)
    assert [part.from_step for part in record.stretches] == [0, 5]
    assert not layout.networks.exists() and read_record(layout.snapshots, "", Finished).snapshots[-1].networks is None
