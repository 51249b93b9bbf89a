"""Every formulation trains and samples on the real digits, baseline and TD, with each target and with augmentation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.stored import read_metrics, read_samples
from tdbench.sampling.stage import sample_run
from tdbench.training.loop import train
from tests.conftest import TINY

SAMPLERS = {"ddpm": "ancestral", "ddim": "ddim", "vp": "euler", "ve": "heun", "edm": "churn", "ct": "consistency"}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The tiny experiment with every formulation, shorter still, each with a sampler of its own."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(TINY)
    content["formulations"] = {kind: {} for kind in FORMULATIONS} | {"ct": {"scales": {"initial": 4, "final": 10}}}
    content["objectives"]["td"] = {}
    content["training"] |= {"duration_kimg": 0.64, "snapshot_kimg": 0.64, "metrics_every_steps": 5}
    content["sampling"]["steps"] = [3]
    content["ablations"] = {}
    content["overrides"] = [
        {"formulations": [kind], "set": {"sampling.sampler": {"kind": sampler}}} for kind, sampler in SAMPLERS.items()
    ] + [{"formulations": ["ct"], "set": {"sampling.steps": [1, 2]}}]
    path = tmp_path_factory.mktemp("experiment") / "all.yaml"
    YAML().dump(content, path)  # keeps the order
    return load_plan(str(path))


def trained(run: Run, archive: Path, folder: Path) -> RunLayout:
    layout = RunLayout(folder, run)
    if run.trained_as is None:
        train(run, archive, layout)
    return layout


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMULATIONS)
def test_baseline_and_td_train_and_sample(kind: str, plan: Plan, archive: Path, tmp_path: Path) -> None:
    if kind == "ddim":
        trained(plan.run("ddpm-baseline-seed0"), archive, tmp_path)
    for objective in ("baseline", "td"):
        run = plan.run(f"{kind}-{objective}-seed0")
        layout = trained(run, archive, tmp_path)
        lines = read_metrics(layout.metrics)
        assert lines[-1].loss < lines[0].loss * 1.5 and lines[-1].grad_norm > 0
        assert (lines[0].valid_share > 0.5) == (objective == "td")
        counted = json.loads(layout.snapshots.read_text())["forward_passes_a_step"]
        assert counted == {"network": 1, "target": int(objective == "td" or kind == "ct")}
        sample_run(run, layout)
        for steps in run.sampling.steps:
            record = json.loads(layout.sample_set(640, steps).with_suffix(".json").read_text())
            assert record["nfe"] == {"edm": 2 * steps - 1, "ve": 2 * steps - 1}.get(kind, steps)
            pixels = read_samples(layout.sample_set(640, steps))
            assert pixels.shape == (128, 8, 8, 1) and pixels.std() > 5


@pytest.mark.parametrize("kind", FORMULATIONS)
def test_twins_begin_with_the_same_weights_images_and_noise(kind: str, plan: Plan, images: Any) -> None:
    """So that their first base losses agree, image by image."""
    from tdbench.data.loading import Batches
    from tdbench.training.state import build_state
    from tdbench.training.step import batch_losses

    losses = {}
    for objective in ("baseline", "td"):
        run = plan.run(f"{kind}-{objective}-seed0")
        state = build_state(run, images, torch.device("cpu"))
        batch = Batches(images, 64, run.seed, torch.device("cpu")).at(0)
        losses[objective] = batch_losses(run, state, batch, 0).base.detach()
    assert losses["td"].shape == (64,)
    torch.testing.assert_close(losses["td"], losses["baseline"], rtol=1e-3, atol=1e-4)


def test_ddim_samples_the_weights_of_ddpms_baseline(plan: Plan, tmp_path: Path) -> None:
    run, other = plan.run("ddim-baseline-seed0"), plan.run("ddpm-baseline-seed0")
    assert run.trained_as == other.name and plan.run("ddim-td-seed0").trained_as is None
    mine, theirs = RunLayout(tmp_path, run), RunLayout(tmp_path, other)
    assert mine.snapshots == theirs.snapshots and mine.samples != theirs.samples and mine.scores != theirs.scores


@pytest.mark.slow
def test_noise_of_a_stochastic_sampler_belongs_to_the_image(plan: Plan, archive: Path, tmp_path: Path) -> None:
    """Another batch size gives the same images."""
    run, sets = plan.run("ddpm-baseline-seed0").alone(), []
    layout = trained(run, archive, tmp_path)
    for size in (64, 50):
        content = run.model_dump(by_alias=True)
        content["sampling"]["batch_size"] = size
        layout.sample_set(640, 3).unlink(missing_ok=True)
        sample_run(Run.model_validate(content), layout)
        sets.append(read_samples(layout.sample_set(640, 3)).astype(int))
    assert abs(sets[0] - sets[1]).max() <= 2


@pytest.mark.parametrize("target", [{"kind": "hard", "period": 4}, "online", {"decay": 0.5}])
def test_targets_follow_as_they_say(target: Any, plan: Plan, archive: Path, images: Any) -> None:
    from tdbench.data.loading import Batches
    from tdbench.training.metrics import MetricsWriter
    from tdbench.training.state import build_state
    from tdbench.training.step import one_step

    content = plan.run("edm-td-seed0").alone().model_dump(by_alias=True)
    content["objective"]["target"] = target
    run = Run.model_validate(content)
    state = build_state(run, images, torch.device("cpu"))
    batches = Batches(images, run.training.batch_size, run.seed, torch.device("cpu"))
    with MetricsWriter(archive.with_name("metrics.jsonl"), torch.device("cpu"), 64) as metrics:
        for step in range(4):
            before = [p.clone() for p in state.target.network.parameters()]
            one_step(run, state, batches.at(step), step, metrics)
            now, weights = list(state.target.network.parameters()), list(state.denoiser.parameters())
            moved = any(not torch.equal(a, b) for a, b in zip(before, now, strict=True))
            copied = all(torch.equal(a, b) for a, b in zip(now, weights, strict=True))
            expected = {"hard": (step == 3, step == 3), "online": (True, True), "ema": (True, False)}
            assert (moved, copied) == expected[run.objective.target.kind]


def test_augmentation_is_told_to_the_network_and_shared_by_twins(plan: Plan, images: Any) -> None:
    from tdbench.data.loading import Batches
    from tdbench.training.state import build_state
    from tdbench.training.step import batch_losses

    losses = {}
    for objective, probability in (("baseline", 0.0), ("baseline", 0.3), ("td", 0.3)):
        content = plan.run(f"edm-{objective}-seed0").alone().model_dump(by_alias=True)
        content["training"]["augmentation"] = probability
        run = Run.model_validate(content)
        state = build_state(run, images, torch.device("cpu"))
        assert (state.denoiser.network.augment_embedding is not None) == (probability > 0)
        batch = Batches(images, 64, run.seed, torch.device("cpu")).at(3)
        losses[objective, probability] = batch_losses(run, state, batch, 3).base.detach()
    torch.testing.assert_close(losses["baseline", 0.3], losses["td", 0.3], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(losses["baseline", 0.0], losses["baseline", 0.3], rtol=1e-3)
