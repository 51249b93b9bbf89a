"""Training on the real digits: pairing of baseline and TD, repeatability, divergence, damaged snapshots."""

import json
from pathlib import Path

import pytest
import torch

from tdbench.data.archive import ImageSet
from tdbench.data.loading import Batches
from tdbench.errors import TdbenchError, TrainingDiverged
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.stored import Records, read_metrics
from tdbench.sampling.stage import sample_run
from tdbench.training.loop import train
from tdbench.training.metrics import FIELDS
from tdbench.training.state import build_state
from tdbench.training.step import batch_losses

CPU = torch.device("cpu")


def shorter(run: Run, **training: float) -> Run:
    content = run.alone().model_dump(by_alias=True)
    content["training"] |= {"duration_kimg": 0.64, "snapshot_kimg": 0.32} | training
    return Run.model_validate(content)


@pytest.fixture(scope="module")
def trained(tiny: Plan, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, RunLayout]:
    run = shorter(tiny.run("edm-td-seed0"))
    layout = RunLayout(tmp_path_factory.mktemp("results"), run)
    train(run, archive, layout)
    return run, layout


def test_a_baseline_and_its_twin_start_alike_and_see_the_same(tiny: Plan, images: ImageSet) -> None:
    losses, weights = {}, {}
    for name in ("edm-baseline-seed0", "edm-td-seed0", "edm-baseline-seed1"):
        run = tiny.run(name)
        state = build_state(run, images, CPU)
        weights[name] = torch.cat([p.detach().flatten() for p in state.denoiser.parameters()])
        batch = Batches(images, run.training.batch_size, run.seed, CPU).at(7)
        losses[name] = batch_losses(run, state, batch, step=7).base.detach()
    twins = ("edm-baseline-seed0", "edm-td-seed0")
    assert torch.equal(*(weights[n] for n in twins))
    # The same x_t up to the rounding of the way there.
    torch.testing.assert_close(*(losses[n] for n in twins), rtol=1e-3, atol=1e-4)
    assert not torch.equal(weights["edm-baseline-seed0"], weights["edm-baseline-seed1"])


@pytest.mark.slow
def test_the_gradient_step_lowers_the_loss(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    run = shorter(tiny.run("edm-baseline-seed0"), duration_kimg=6.4)
    train(run, archive, RunLayout(tmp_path, run))
    lines = read_metrics(RunLayout(tmp_path, run).metrics)
    assert lines[-1].loss < 0.75 * lines[0].loss


@pytest.mark.slow
def test_training_again_gives_the_same_bytes(trained: tuple[Run, RunLayout], archive: Path, tmp_path: Path) -> None:
    run, layout = trained
    again = RunLayout(tmp_path, run)
    train(run, archive, again)
    for images in (320, 640):
        assert again.snapshot(images).read_bytes() == layout.snapshot(images).read_bytes()


def test_what_a_training_leaves(trained: tuple[Run, RunLayout]) -> None:
    run, layout = trained
    record = json.loads(layout.settings.read_text())
    assert Run.model_validate(record["run"]) == run
    assert {"git_commit", "versions", "platform"} <= set(record["provenance"]) and record["data"]["sha256"]
    lines = read_metrics(layout.metrics)
    assert [line.step for line in lines] == [5, 10]
    expected = set(FIELDS) | {"images_per_s", "seconds", "memory_mb", "learning_rate"}
    assert expected <= set(lines[0].to_json()) and lines[0].valid_share > 0.9
    snapshots = json.loads(layout.snapshots.read_text())["snapshots"]
    assert [s["images"] for s in snapshots] == [320, 640]


def test_sampling_does_not_depend_on_the_batch_size(trained: tuple[Run, RunLayout], tmp_path: Path) -> None:
    from tdbench.records.stored import read_samples

    run, layout = trained
    sets = []
    for size in (64, 50):
        content = run.alone().model_dump(by_alias=True)
        content["sampling"] |= {"batch_size": size, "steps": [3]}
        changed = Run.model_validate(content)
        layout.sample_set(640, 3).unlink(missing_ok=True)
        sample_run(changed, layout)
        sets.append(read_samples(layout.sample_set(640, 3)).astype(int))
    # The network's sums may be ordered otherwise: at most a rounding of the last level.
    assert sets[0].shape == (128, 8, 8, 1) and abs(sets[0] - sets[1]).max() <= 1
    assert (sets[0] != sets[1]).mean() < 0.01


def test_divergence_stops_with_a_message_and_keeps_the_last_good_snapshot(
    tiny: Plan, archive: Path, tmp_path: Path
) -> None:
    run = shorter(tiny.run("edm-baseline-seed0"), learning_rate=1e30, rampup_kimg=1e29, snapshot_kimg=0.064)
    layout = RunLayout(tmp_path, run)
    with pytest.raises(TrainingDiverged) as caught:
        train(run, archive, layout)
    message = str(caught.value)
    assert message.startswith("digits/edm-baseline-seed0: diverged") and "learning_rate" in message
    kept = sorted(layout.snapshot(0).parent.glob("*"))
    assert kept and str(kept[-1]) in message
    assert not layout.snapshots.exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_snapshot_is_named(
    damage: str, trained: tuple[Run, RunLayout], archive: Path, tmp_path: Path
) -> None:
    run, _ = trained
    layout = RunLayout(tmp_path, run)
    train(run, archive, layout)
    path = layout.snapshot(640)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:1000] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(TdbenchError, match=f"{path}: sha256 .*expected"):
        sample_run(run, layout)


@pytest.mark.slow
def test_samples_of_other_settings_or_snapshots_are_refused(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    run = shorter(tiny.run("edm-td-seed0"))
    layout = RunLayout(tmp_path, run)
    train(run, archive, layout)
    sample_run(run, layout)
    assert [record.steps for record in Records(tmp_path).of(run).sampled] == [2, 4]
    content = run.alone().model_dump(by_alias=True)
    content["sampling"]["steps"] = [2, 5]
    with pytest.raises(TdbenchError, match=r"samples\.json: made with other snapshots or settings"):
        Records(tmp_path).of(Run.model_validate(content)).sampled  # noqa: B018
    other = shorter(tiny.run("edm-td-seed0"), learning_rate=1e-3)
    train(other, archive, layout)
    with pytest.raises(TdbenchError, match=r"run\.json: was trained with other settings"):
        sample_run(run, layout)
    with pytest.raises(TdbenchError, match=r"samples\.json: made with other snapshots or settings"):
        Records(tmp_path).of(other).sampled  # noqa: B018


@pytest.mark.slow
def test_a_training_that_fails_leaves_no_older_one_behind(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    good = shorter(tiny.run("edm-baseline-seed0"))
    layout = RunLayout(tmp_path, good)
    train(good, archive, layout)
    with pytest.raises(TrainingDiverged, match="no snapshot had been taken"):
        train(shorter(good, learning_rate=1e30, rampup_kimg=0), archive, layout)
    assert not layout.snapshots.exists() and not list(layout.snapshot(0).parent.glob("*"))


def test_a_results_folder_that_cannot_be_written(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = shorter(tiny.run("edm-baseline-seed0"))
    with pytest.raises(TdbenchError, match=r"the folder cannot be written .*; choose another folder"):
        train(run, archive, RunLayout(tmp_path / "file", run))
