"""Several processes on one piece of work (gloo, on the CPU): the same results as one, and nothing lost at an end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import read_metrics, read_samples
from tdbench.runtime.distributed import World
from tdbench.workflow.stages import do_stage
from tests.conftest import ROOT, TINY, results_with_data
from tests.preloaded import preloaded

NAME = "edm-td-seed0"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One run whose network has dropout, in micro-batches whose masks are the same in any process; TD begins late."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(TINY)
    content |= {"seeds": [0], "ablations": {}, "network": {"kind": "unet-tiny", "dropout": 0.1}}
    content["objectives"]["td"]["begin"] = 0.25
    content["training"] |= {
        "microbatch_size": 16,
        "augmentation": 0.3,
        "metrics_every_steps": 1,
        "checkpoint_minutes": 0,
        "processes": 2,
        "horizontal_flips": True,
        "gradient_clip_norm": 1.0,
    }
    path = tmp_path_factory.mktemp("experiment") / "shared.yaml"
    YAML().dump(content | {"name": "shared"}, path)
    return load_plan(str(path))


@pytest.fixture(scope="module")
def run(plan: Plan) -> Run:
    return plan.run(NAME)


def in_two(stage: str, plan: Plan, results: Path, *options: str, own_python: bool = False) -> subprocess.Popen[str]:
    """A stage in two processes; with ``own_python`` they are children of the process that is returned."""
    program = [sys.executable, "-m", "tdbench"] if own_python else [preloaded().program("tdbench")]
    command = [*program, stage, str(plan.path), NAME, "--results", str(results), "--processes", "2", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def alone(plan: Plan, run: Run, prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained in one process."""
    results = results_with_data(tmp_path_factory.mktemp("alone"), prepared)
    do_stage("train", [run], results, keep_finished=False, marker=None)
    return results


@pytest.fixture(scope="module")
def together(plan: Plan, prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained in two processes."""
    results = results_with_data(tmp_path_factory.mktemp("together"), prepared)
    marker = results / "marker.json"
    done = in_two("train", plan, results, "--keep-finished", "--marker", str(marker))
    _, said = done.communicate(timeout=300)
    assert done.returncode == 0, said
    # One writes and talks.
    assert json.loads(marker.read_text())["runs"] == [f"digits/{NAME}"] and len(re.findall("100 %", said)) == 1
    return results


def weights(results: Path, run: Run, images: int) -> dict[str, torch.Tensor]:
    return load_file(RunLayout(results, run).snapshot(images))


def test_two_processes_follow_the_same_curve_as_one(alone: Path, together: Path, run: Run) -> None:
    """Up to the order of sums: the batch, its noise, augmentation and dropout are those of one process."""
    one, two = (read_metrics(RunLayout(results, run).metrics) for results in (alone, together))
    assert [line.step for line in one] == [line.step for line in two] == list(range(1, 41))
    for a, b in zip(one, two, strict=True):
        for key in ("loss", "base_loss", "td_loss", "grad_norm"):
            wanted = getattr(a, key)
            # Before TD begins its loss is unknown.
            assert getattr(b, key) == (None if wanted is None else pytest.approx(wanted, rel=2e-4))
        assert a.valid_share == b.valid_share and a.images == b.images
    mine, theirs = weights(alone, run, 2560), weights(together, run, 2560)
    worst = max((mine[key] - theirs[key]).abs().max().item() for key in mine)
    assert worst < 1e-3 and all(torch.isfinite(value).all() for value in theirs.values())
    record = json.loads(RunLayout(together, run).settings.read_text())
    assert record["hardware"]["processes"] == 2
    first, other = weights(alone, run, 320), weights(together, run, 320)
    assert max((first[key] - other[key]).abs().max().item() for key in first) < 2e-5


@pytest.mark.slow
def test_samples_and_scores_are_the_same_to_the_bit(plan: Plan, run: Run, together: Path) -> None:
    layout = RunLayout(together, run)
    found = []
    for shared in (False, True):
        for stage in ("sample", "evaluate"):
            if shared:
                done = in_two(stage, plan, together)
                _, said = done.communicate(timeout=300)
                assert done.returncode == 0, said
            else:
                do_stage(stage, [run], together, keep_finished=False, marker=None)
        sets = [read_samples(layout.sample_set(images, steps)) for images in (2240, 2560) for steps in (2, 4)]
        rows = [
            (r["library"], r["metric"], r["steps"], r["value"]) for r in json.loads(layout.scores.read_text())["scores"]
        ]
        found.append(([s.tobytes() for s in sets], rows))
        for path in layout.folder.glob("samples/**/*.json"):
            path.unlink()  # to be sampled again
    assert found[0] == found[1]


def started(plan: Plan, results: Path, run: Run) -> subprocess.Popen[str]:
    """A training in two processes that has gone some way."""
    child = in_two("train", plan, results, own_python=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if list(RunLayout(results, run).checkpoints.glob("*-*.safetensors")):
            return child
        time.sleep(0.02)
    raise AssertionError(child.communicate()[1])


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL of a process", "SIGKILL of the parent"])
def test_ended_and_started_again_it_ends_with_the_same_bytes(
    end: str, plan: Plan, run: Run, together: Path, prepared: DatasetLayout, tmp_path: Path
) -> None:
    results = results_with_data(tmp_path, prepared)
    child = started(plan, results, run)
    workers = psutil.Process(child.pid).children(recursive=True)
    begun = time.monotonic()
    {
        "SIGTERM": lambda: child.send_signal(signal.SIGTERM),
        "SIGKILL of a process": lambda: max(workers, key=lambda p: p.pid).kill(),
        "SIGKILL of the parent": child.kill,
    }[end]()
    _, said = child.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive and time.monotonic() - begun < 30
    if end == "SIGTERM":
        assert (child.returncode, "Traceback" in said) == (143, False), said
        assert "stopped after step" in said and "asked to stop" in said
    if end == "SIGKILL of a process":
        assert child.returncode == 2 and "was killed by SIGKILL" in said and "Traceback" not in said
    assert not RunLayout(results, run).snapshots.exists()
    again = in_two("train", plan, results)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0 and "resumes after step" in said
    layout, expected = RunLayout(results, run), RunLayout(together, run)
    for path in sorted(expected.snapshot(0).parent.iterdir()):
        assert (layout.snapshot(0).parent / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_mistake_is_told_once(plan: Plan, tmp_path: Path) -> None:
    done = in_two("train", plan, tmp_path)
    _, said = done.communicate(timeout=120)
    assert done.returncode == 2 and "Traceback" not in said
    assert said.count("no such archive") == 1


@pytest.mark.slow
def test_the_snakefile_starts_them(
    plan: Plan, run: Run, together: Path, prepared: DatasetLayout, tmp_path: Path
) -> None:
    """`training.processes: 2` of the experiment, and nothing else."""
    results = results_with_data(tmp_path, prepared)
    batch = f"digits/{NAME}"
    content = plan.path.read_text()
    experiment = tmp_path / "shared.yaml"
    experiment.write_text(content.replace("runs_per_job: 6", "runs_per_job: 1"))
    target = results / "shared" / "jobs" / batch / "sample.json"
    command = [preloaded().program("snakemake"), "--cores", "2", str(target), "--config"]
    config = [f"experiment={experiment}", f"results={results}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *config], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # The options of every call are found from the project's folder.
    assert "workflow specific profile profiles/default" in done.stdout + done.stderr
    layout, expected = RunLayout(results, run), RunLayout(together, run)
    assert json.loads(layout.settings.read_text())["hardware"]["processes"] == 2
    assert layout.snapshot(2560).read_bytes() == expected.snapshot(2560).read_bytes()


@pytest.mark.parametrize(("total", "count"), [(64, 1), (64, 2), (65, 4), (3, 8)])
def test_shares_cover_the_batch(total: int, count: int) -> None:
    shares = [World(rank, count).share(total) for rank in range(count)]
    assert [i for share in shares for i in range(total)[share]] == list(range(total))
    assert max(s.stop - s.start for s in shares) - min(s.stop - s.start for s in shares) <= 1


def test_more_processes_than_images_in_a_batch(run: Run, prepared: DatasetLayout) -> None:
    from tdbench.data.archive import read_archive
    from tdbench.errors import TdbenchError
    from tdbench.training.state import build_state

    with pytest.raises(TdbenchError, match=r"65 processes: training\.batch_size 64 must be no less"):
        build_state(run, read_archive(prepared.archive), torch.device("cpu"), World(64, 65))
