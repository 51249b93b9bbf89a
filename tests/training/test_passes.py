"""The cost of a training in passes of images, and the longer baseline that costs as much as an objective."""

import json
import math
from pathlib import Path

import pytest
import torch

from tdbench.experiment.equal_passes import step_passes
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.stored import read_metrics
from tdbench.training.loop import train
from tdbench.training.step import draw_step

STEPS, SPAN = 12, 4


def short(run: Run, **settings: object) -> Run:
    """A run of a few steps, alone: no snapshots for other runs."""
    content = run.alone().model_dump(by_alias=True)
    content["training"] |= {"duration_kimg": STEPS * 64 / 1000, "snapshot_kimg": 0.256, **settings}
    return Run.model_validate(content)


def passes_by_hand(run: Run, part: int) -> tuple[int, int]:
    """EDM with TD: the pairs are counted from the drawn noise with the formulas of the paper."""
    rho, sigma_min, sigma_max, last, reach = 7, 0.002, 80.0, 17, SPAN + 0.25
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    network = target = 0
    for step in range(STEPS):
        noise = draw_step(run, step, (64, 1, 8, 8), torch.device("cpu")).noise.time.flatten().tolist()
        for begin in range(0, 64, part):
            drawn = noise[begin : begin + part]
            valid = 0
            for z in drawn:
                sigma = math.exp(-1.2 + 1.2 * z)
                index = last * (sigma ** (1 / rho) - ends[0]) / (ends[1] - ends[0])
                valid += sigma_min <= sigma <= sigma_max and index <= last - reach
            # The target's batch is rounded up to a sixteenth.
            sixteenth = math.ceil(len(drawn) / 16)
            target += min(math.ceil(valid / sixteenth) * sixteenth, len(drawn))
            network += 3 * len(drawn)
    return network, target


@pytest.mark.slow
@pytest.mark.parametrize("part", [64, 24])
def test_passes_are_those_counted_by_hand(part: int, tiny: Plan, archive: Path, tmp_path: Path) -> None:
    """Of a whole batch, and of one in three parts of 24, 24 and 16; some pairs lie beyond the grid."""
    run = short(tiny.run("edm-td-seed0"), microbatch_size=None if part == 64 else part, metrics_every_steps=5)
    # So far apart that many pairs reach beyond the grid.
    run = run.model_copy(update={"objective": run.objective.model_copy(update={"span": float(SPAN)})})
    layout = RunLayout(tmp_path, run)
    train(run, archive, layout)
    lines = read_metrics(layout.metrics)
    expected = passes_by_hand(run, part)
    assert (lines[-1].network_passes, lines[-1].target_passes) == expected
    assert 0.2 < expected[1] / (STEPS * 64) < 0.9 and lines[-1].valid_share < 0.9
    assert lines[0].network_passes is not None and lines[0].network_passes < expected[0]
    snapshots = json.loads(layout.snapshots.read_text())["snapshots"]
    assert (snapshots[-1]["network_passes"], snapshots[-1]["target_passes"]) == expected
    assert STEPS * step_passes(run) == pytest.approx(sum(expected), rel=0.01)


@pytest.mark.slow
def test_a_baseline_makes_three_passes_an_image(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    run = short(tiny.run("edm-baseline-seed0"))
    train(run, archive, RunLayout(tmp_path, run))
    last = read_metrics(RunLayout(tmp_path, run).metrics)[-1]
    assert (last.network_passes, last.target_passes) == (3 * 64 * STEPS, 0) and step_passes(run) == 3 * 64


@pytest.mark.slow
def test_the_longer_baseline_has_the_shorter_one_as_its_beginning(tiny: Plan, archive: Path, tmp_path: Path) -> None:
    """To the bit: the snapshot at the end of the shorter training is the same file."""
    alone = short(tiny.run("edm-baseline-seed0"))
    longer = alone.model_copy(update={"continued_to": 64 * (STEPS + 5), "further_snapshots": (64 * 3,)})
    ends = {}
    for name, run in {"alone": alone, "longer": longer}.items():
        layout = RunLayout(tmp_path / name, run)
        train(run, archive, layout)
        ends[name] = layout.snapshot(64 * STEPS).read_bytes()
        shown = [int(path.stem) for path in sorted(layout.snapshot(0).parent.iterdir())]
        assert shown == sorted({64 * step for step in run.snapshot_steps()})
    assert ends["alone"] == ends["longer"]
    assert 64 * 3 in shown and shown[-1] == 64 * (STEPS + 5)
