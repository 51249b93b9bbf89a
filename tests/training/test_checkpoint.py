"""Checkpoints: whole or not used, and a training that goes on from one ends as if it had never stopped."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tdbench.errors import Stopped, TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.schema import CheckpointFacts
from tdbench.records.stored import read_metrics
from tdbench.training import loop
from tdbench.training.checkpoint import Identity, find_checkpoint, keep_only, save_checkpoint
from tdbench.training.loop import train
from tests.training.test_loop import shorter

# Of a line of metrics, what differs from one time to the next.
TIMES = {"images_per_s", "seconds", "memory_mb"}
KILLS = 20


def accept(facts: dict[str, Any]) -> None:
    return None


def kept(plan: Plan, name: str = "edm-td-seed0", **training: Any) -> Run:
    """A short run that writes a checkpoint after every step."""
    return shorter(plan.run(name), checkpoint_minutes=0, metrics_every_steps=3, **training)


def outcome(layout: RunLayout) -> tuple[dict[str, bytes], list[dict[str, Any]], Any]:
    """Snapshots to the bit, metrics but for times, and what snapshots.json says of them, again but for times."""
    files = {path.name: path.read_bytes() for path in sorted(layout.snapshot(0).parent.iterdir())}
    lines = [{k: v for k, v in line.figures.items() if k not in TIMES} for line in read_metrics(layout.metrics)]
    entries = json.loads(layout.snapshots.read_text())["snapshots"]
    return files, lines, [{k: v for k, v in entry.items() if k not in TIMES} for entry in entries]


def interrupted(run: Run, archive: Path, layout: RunLayout, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the process is asked to stop in the middle of a step."""
    real = loop.one_step

    def signalled(*arguments: Any) -> Any:
        if arguments[3] + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "one_step", signalled)
        with pytest.raises(Stopped) as caught:
            train(run, archive, layout)
    assert caught.value.exit_code == 143 and f"after step {step} of 10" in str(caught.value)


@pytest.fixture(scope="module")
def unbroken(tiny: Plan, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = kept(tiny)
    layout = RunLayout(tmp_path_factory.mktemp("unbroken"), run)
    train(run, archive, layout)
    assert not layout.checkpoints.exists()
    return outcome(layout)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4, 5, 9])
def test_sigterm_keeps_the_last_step_and_the_end_is_the_same_to_the_bit(
    step: int,
    unbroken: Any,
    tiny: Plan,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = kept(tiny)
    layout = RunLayout(tmp_path, run)
    interrupted(run, archive, layout, step, monkeypatch)
    assert not layout.snapshots.exists() and len(list(layout.checkpoints.iterdir())) <= 2
    train(run, archive, layout)
    assert outcome(layout) == unbroken and not layout.checkpoints.exists()
    assert f"resumes after step {step}" in capsys.readouterr().err
    parts = json.loads(layout.settings.read_text())["parts"]
    assert [part["from_step"] for part in parts] == [0, step] and all("provenance" in part for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "edm-baseline-seed0",
        "ct-td",
        "hard-target",
        "augmented-with-dropout",
        "in-microbatches",
        "adamw",
        "radam",
        "mirrored-and-clipped",
    ],
)
def test_every_kind_of_state_goes_on_exactly(
    name: str, tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (
        kept(tiny, "edm-baseline-seed0" if "baseline" in name else "edm-td-seed0").alone().model_dump(by_alias=True)
    )
    if name == "ct-td":
        content["formulation"] = {"kind": "ct", "scales": {"initial": 4, "final": 10}}
        content["objective"] = {"kind": "td", "preset": "paper"}
    if name == "hard-target":
        content["objective"]["target"] = {"kind": "hard", "period": 4}
    if name == "augmented-with-dropout":
        content["training"]["augmentation"], content["network"]["dropout"] = 0.5, 0.2
    if name == "in-microbatches":
        content["training"]["microbatch_size"] = 24
    if name in ("adamw", "radam"):
        content["training"]["optimizer"] = {"kind": name, "betas": [0.8, 0.99], "weight_decay": 0.01, "epsilon": 1e-6}
    if name == "mirrored-and-clipped":
        content["training"] |= {"horizontal_flips": True, "gradient_clip_norm": 0.1}
        content["training"] |= {"ema_half_life_kimg": None, "ema_decay": 0.9}
    run = Run.model_validate(content)
    run = run.model_copy(update={"objective": run.objective.resolved(run.formulation)})
    whole, broken = RunLayout(tmp_path / "whole", run), RunLayout(tmp_path / "broken", run)
    train(run, archive, whole)
    interrupted(run, archive, broken, 7, monkeypatch)
    train(run, archive, broken)
    assert outcome(broken) == outcome(whole)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    """SIGKILL: whatever moment it comes at, the next call ends with the very bytes of an undisturbed training."""
    context = get_context("forkserver")  # starts children with torch and diffusers imported already
    context.set_forkserver_preload(["tdbench.training.loop", "diffusers.models.unets.unet_2d"])
    run = kept(tiny, duration_kimg=1.28, snapshot_kimg=0.32)
    # Some moments lie before TD begins, others after.
    run = run.model_copy(update={"objective": run.objective.model_copy(update={"begin": 0.5})})
    whole, source = RunLayout(tmp_path / "whole", run), random.Random(0)

    def started(results: Path) -> Any:
        child = context.Process(target=train, args=(run, archive, RunLayout(results, run)))
        child.start()
        return child

    started(tmp_path / "whole").join()
    begun = time.perf_counter()
    started(tmp_path / "timed").join()
    length, kills, trainings = time.perf_counter() - begun, 0, 0
    expected = outcome(whole)
    while kills < KILLS:
        results, resumed = tmp_path / f"killed-{trainings}", RunLayout(tmp_path / f"killed-{trainings}", run)
        ended = None
        # Until a call ends by itself: one killed after it wrote snapshots.json may leave its checkpoints.
        while ended != 0:
            child = started(results)
            child.join(timeout=source.uniform(0, length))
            if child.exitcode is None:
                # Not os.kill: the child may have ended since, and the fork server has taken its exit status.
                child.kill()
                kills += 1
            child.join()
            ended = child.exitcode
            assert ended in (0, -signal.SIGKILL)
        assert outcome(resumed) == expected and not resumed.checkpoints.exists()
        trainings += 1


def flip(path: Path, source: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path, random.Random], Any]] = {
    "flipped": flip,
    "truncated": lambda path, source: os.truncate(path, source.randrange(1, path.stat().st_size)),
    "empty": lambda path, source: os.truncate(path, 0),
    "longer": lambda path, source: path.write_bytes(path.read_bytes() + b"\0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", ["newest", "both"])
def test_a_damaged_checkpoint_is_passed_over(
    damage: str,
    which: str,
    unbroken: Any,
    tiny: Plan,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = kept(tiny)
    layout, source = RunLayout(tmp_path, run), random.Random(damage)
    interrupted(run, archive, layout, 7, monkeypatch)
    found = sorted(layout.checkpoints.iterdir())
    assert len(found) == 2
    for path in found if which == "both" else found[1:]:
        DAMAGE[damage](path, source)
    train(run, archive, layout)
    said = capsys.readouterr().err
    assert f"{found[1]}: damaged checkpoint" in said
    assert ("resumes after step 6" in said) == (which == "newest")
    assert outcome(layout) == unbroken


FACTS = CheckpointFacts(
    settings={"a": 1}, data="0" * 64, step=1, snapshots=[], line=None, parts=[], metrics_bytes=0, seconds=1.0
)


def test_any_flipped_bit_shows(tmp_path: Path) -> None:
    source, wanted = random.Random(1), Identity({"a": 1}, "0" * 64, None)
    path = save_checkpoint(tmp_path, 64, {"w": torch.arange(6.0)}, FACTS)
    whole = path.read_bytes()
    for _ in range(300):
        flip(path, source)
        assert find_checkpoint(tmp_path, wanted, accept) is None
        path.write_bytes(whole)
    found = find_checkpoint(tmp_path, wanted, accept)
    assert found is not None and found.facts == FACTS and torch.equal(found.tensors()["w"], torch.arange(6.0))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    made = [save_checkpoint(tmp_path, images, {"w": torch.tensor([images])}, FACTS) for images in (64, 128, 1280)]
    (tmp_path / ".000000001344-.123.tmp.safetensors").write_bytes(b"left by a process that was killed")
    assert not made[0].exists() and made[1].exists() and made[2].exists()
    keep_only(tmp_path, made[2])
    assert list(tmp_path.iterdir()) == [made[2]]
    keep_only(tmp_path, None)
    assert not tmp_path.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = save_checkpoint(tmp_path, 64, {"w": torch.zeros(2)}, FACTS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TdbenchError, match=r"cannot be written \(No space left on device\)"):
            save_checkpoint(tmp_path, 128, {"w": torch.ones(2)}, FACTS)
    assert list(tmp_path.iterdir()) == [made]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["settings", "data", "snapshot"])
def test_a_checkpoint_of_something_else_is_not_used(
    change: str,
    tiny: Plan,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = kept(tiny)
    layout = RunLayout(tmp_path, run)
    interrupted(run, archive, layout, 7, monkeypatch)
    if change == "settings":
        run = kept(tiny, learning_rate=1e-3)
    if change == "data":
        from tdbench.data.archive import read_archive, write_archive

        data, archive = read_archive(archive), tmp_path / "other.zip"
        write_archive(archive, data.images[::-1], data.labels[::-1])
    if change == "snapshot":
        layout.snapshot(320).unlink()
    fresh = RunLayout(tmp_path / "fresh", run)
    train(run, archive, fresh)
    train(run, archive, layout)
    said = capsys.readouterr().err
    words = {"settings": "it is of other settings", "data": "it is of other data", "snapshot": "is missing or changed"}
    assert f"checkpoint not used: {words[change]}" in said or words[change] in said
    assert outcome(layout) == outcome(fresh)


@pytest.mark.slow
def test_what_does_not_change_the_weights_may_change_meanwhile(
    tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = kept(tiny)
    layout = RunLayout(tmp_path, run)
    interrupted(run, archive, layout, 7, monkeypatch)
    train(shorter(run, checkpoint_minutes=5, metrics_every_steps=3), archive, layout)
    assert "resumes after step 7" in capsys.readouterr().err


@pytest.mark.slow
def test_asked_to_stop_in_the_last_step_it_finishes_and_begins_nothing_more(
    tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tdbench.records.layout import DatasetLayout
    from tdbench.workflow.stages import do_stage

    files = DatasetLayout(tmp_path, "digits")
    files.archive.parent.mkdir(parents=True)
    files.archive.write_bytes(archive.read_bytes())
    real, runs = loop.one_step, [kept(tiny), kept(tiny, "edm-td-seed1")]

    def signalled(*arguments: Any) -> Any:
        if arguments[3] == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(loop, "one_step", signalled)
    with pytest.raises(Stopped, match="finished; asked to stop"):
        do_stage("train", runs, tmp_path, keep_finished=True, marker=None)
    done, other = (RunLayout(tmp_path, run) for run in runs)
    assert done.snapshots.exists() and not done.checkpoints.exists() and not other.folder.exists()


def test_a_second_signal_ends_at_once(tiny: Plan) -> None:
    from tdbench.runtime.signals import stop_on_request

    before = signal.getsignal(signal.SIGINT)
    with stop_on_request() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop and stop.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_in_a_checkpoint_is_pickled(
    tiny: Plan, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept(tiny)
    layout = RunLayout(tmp_path, run)
    interrupted(run, archive, layout, 2, monkeypatch)
    names = set(load_file(sorted(layout.checkpoints.iterdir())[-1]))
    parts = {name.split("/")[0] for name in names}
    assert parts == {"denoiser", "target", "average", "optimizer", "metrics"}
