"""Where the baseline costs as many passes as an objective, and the runs and snapshots that this needs."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tdbench.cli.main import main
from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import Curve
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import Records
from tdbench.workflow.budget import describe_plans
from tests.conftest import ROOT, TINY, results_with_data

SHORT = {
    "duration_kimg": 0.64,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "ema_half_life_kimg": 0.32,
    "snapshot_kimg": 0.32,
}


def changed(folder: Path, source: Path = TINY, **settings: Any) -> Plan:
    content = YAML(typ="safe", pure=True).load(source) | settings
    path = folder / "changed.yaml"
    YAML().dump(content, path)
    return load_plan(str(path))


def test_the_longer_baseline_shares_the_training_of_the_shorter_one(tiny: Plan) -> None:
    (point,) = tiny.equal_passes
    assert point.baseline_passes == 3 and 3.9 < point.passes <= 4
    (first, second) = tiny.longer
    assert first.trained_as == "digits/edm-baseline-seed0" and second.seed == 1
    assert first.training.duration_kimg == pytest.approx(2.56 * point.passes / 3, abs=0.032)
    base = tiny.run("edm-baseline-seed0")
    assert base.trained_images == first.last_images > base.last_images
    taken = {base.training.images_at(step) for step in base.snapshot_steps()}
    for run in (base, first):
        assert {*run.scored_snapshots(), *run.curve_snapshots} <= taken
    assert first.recipe() == base.recipe() and first.training_settings() != base.training_settings()


@pytest.mark.slow
def test_to_train_the_longer_baseline_is_to_train_the_run_that_has_its_weights(
    tmp_path: Path, prepared: DatasetLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """By hand, as a message may advise: the shorter one stays valid."""
    results = results_with_data(tmp_path / "results", prepared)
    plan = changed(tmp_path, training=SHORT, ablations={})
    (point,) = plan.equal_passes
    name = f"edm-{point.baseline_name}-seed0"
    monkeypatch.setattr(
        "sys.argv", ["tdbench", "train", str(tmp_path / "changed.yaml"), name, "--results", str(results)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    records = Records(results)
    for run in (plan.run("edm-baseline-seed0"), plan.run(name)):
        records.of(run).check_trained()
        assert set(run.scored_snapshots()) <= set(records.of(run).snapshots)


def test_each_objective_has_its_own_point_and_the_dearest_decides_the_length(tmp_path: Path) -> None:
    """TD whose pairs reach far has fewer valid ones, so it costs less."""
    far = {"kind": "td", "span": 8}
    plan = changed(tmp_path, objectives={"baseline": {}, "td": {}, "far": far}, ablations={})
    near, other = plan.equal_passes
    assert other.kimg < near.kimg and {run.objective_name for run in plan.longer} == {
        near.baseline_name,
        other.baseline_name,
    }
    base = plan.run("edm-baseline-seed0")
    assert base.trained_images == round(1000 * near.kimg)
    longest, shorter = (plan.run(f"edm-{point.baseline_name}-seed0") for point in (near, other))
    assert longest.curve_snapshots and not shorter.curve_snapshots


def test_td_costs_consistency_training_nothing_so_its_baseline_is_the_same(tmp_path: Path) -> None:
    plan = changed(
        tmp_path,
        formulations={"ct": {}},
        objectives={"baseline": {}, "td": {}},
        sampling={"steps": [1, 2], "sampler": "consistency", "images": 128},
        ablations={},
    )
    assert plan.equal_passes[0].baseline_name == "baseline" and not plan.longer


DEAR = """
from tdbench.diffusion.objectives.td import TD, TDSettings
from tdbench.plugins import register


class DearTD(TD):
    kind: str = "dear"

    def expected_passes(self, formulation, images):
        return 6.0 * images


@register("objective", "dear")
class Dear(TDSettings):
    kind: str = "dear"
    computed_as = DearTD
"""


def test_a_schedule_over_the_length_of_training_is_named_and_the_baseline_trained_by_itself(tmp_path: Path) -> None:
    (tmp_path / "dear.py").write_text(DEAR)
    plan = changed(
        tmp_path,
        plugins=["dear.py"],
        formulations={"ct": {}},
        objectives={"baseline": {}, "dear": {}},
        sampling={"steps": [1, 2], "sampler": "consistency", "images": 128},
        ablations={},
    )
    (point,) = plan.equal_passes
    assert point.kimg == pytest.approx(1.5 * 2.56) and point.separate is not None
    assert "schedule of ct depends on the length of training" in point.separate
    assert all(run.trained_as is None for run in plan.longer) and not plan.run("ct-baseline-seed0").continued_to
    assert "trained by itself, since the schedule of ct" in describe_plans([plan])


def test_a_constant_number_of_scales_is_no_schedule(tmp_path: Path) -> None:
    plan = changed(
        tmp_path,
        formulations={"ct": {"scales": {"initial": 16, "final": 16}}},
        sampling={"steps": [1], "sampler": "consistency", "images": 128},
        objectives={"baseline": {}, "td": {}},
        ablations={},
    )
    assert plan.run("ct-baseline-seed0").formulation.length_dependence is None


def test_the_plan_lists_the_points_and_what_they_cost(tiny: Plan) -> None:
    text = describe_plans([tiny])
    (point,) = tiny.equal_passes
    assert f"digits/edm-td: {point.passes:.3g} passes an image, the baseline 3: the baseline to 3.392 kimg, " in text
    # Of two seeds, 0.832 kimg more at 3 passes an image.
    assert "continues from 2.56 kimg; 5 thousand passes more" in text and "passes of images" in text


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    plan = changed(tmp_path, evaluation={"equal_passes": False, "curve": None, "kid_subset_size": 64})
    assert not plan.longer and not plan.equal_passes and plan.run("edm-baseline-seed0").further_snapshots == ()
    assert not any(run.curve_snapshots for run in plan.runs.values())


def test_an_objective_so_cheap_that_the_baseline_has_no_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dear.py").write_text(DEAR.replace("6.0", "0.1"))
    with pytest.raises(TdbenchError, match=r"training.snapshot_kimg: 0.32: edm: .* before its first snapshot"):
        changed(tmp_path, plugins=["dear.py"], objectives={"baseline": {}, "dear": {}}, ablations={})


def test_the_points_of_a_curve_are_denser_early_and_continue_alike() -> None:
    points = Curve(points=12).images_shown(10_000)
    gaps = [b - a for a, b in itertools.pairwise(points)]
    assert len(points) == 12 and points[-1] == 10_000 and gaps == sorted(gaps)
    beyond = Curve(points=12).images_shown(10_000, 13_333)
    assert beyond[0] == -(-10_000 * 14**2 // 13**2) and beyond[-1] == 13_333 and len(beyond) == 2


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ({"points": 3}, "evaluation.curve.points: 3"),
        ({"steps": [4, 2]}, "evaluation.curve.steps: .*must increase without repetition"),
        ({"images": 1}, "evaluation.curve.images: 1"),
        ({"point": 12}, "evaluation.curve.point"),
        (12, "evaluation.curve: 12: should be a mapping such as"),
    ],
)
def test_mistakes_in_a_curve_name_the_key_and_the_value(tmp_path: Path, curve: Any, words: str) -> None:
    with pytest.raises(TdbenchError, match=words):
        changed(tmp_path, evaluation={"curve": curve, "kid_subset_size": 64})


def test_snapshots_that_only_curves_need_may_be_deleted(tmp_path: Path) -> None:
    plan = changed(tmp_path, evaluation={"curve": {"keep_snapshots": False}, "kid_subset_size": 64})
    base, longer = plan.run("edm-baseline-seed0"), plan.longer[0]
    assert base.temporary_snapshots and set(base.temporary_snapshots) <= set(base.further_snapshots)
    assert not set(base.temporary_snapshots) & {*base.scored_snapshots(), *longer.scored_snapshots()}


def test_the_default_experiment_has_curves_and_longer_baselines() -> None:
    plan = load_plan(str(ROOT / "workflow" / "experiments" / "digits.yaml"))
    assert {p.formulation_name: p.baseline_name for p in plan.equal_passes}["ct"] == "baseline"
    ddim, ddpm = (plan.run(f"{name}-baseline-seed0") for name in ("ddim", "ddpm"))
    # DDIM's baseline is DDPM's; its longer one too.
    assert ddim.trained_as == ddpm.name and plan.run("ddim-baseline-34.112kimg-seed0").trained_as == ddpm.name
    assert ddpm.continued_to == 34_112 and not plan.run("ddpm-td-seed0").continued_to


@pytest.mark.slow
def test_weights_that_only_the_curve_needed_are_deleted_with_the_report_and_not_missed(
    tmp_path: Path, prepared: DatasetLayout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = results_with_data(tmp_path / "results", prepared)
    evaluation = {
        "curve": {"points": 4, "keep_snapshots": False},
        "kid_subset_size": 32,
        "bootstrap": 0,
        "mechanism": None,
    }
    sampling = {"steps": [2], "images": 64}
    plan = changed(
        tmp_path,
        training=SHORT,
        sampling=sampling,
        evaluation=evaluation,
        seeds=[0],
        formulations={"edm": {}},
        ablations={},
    )
    runs = [name.removeprefix("digits/") for name in plan.runs]

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["tdbench", *words, "--results", str(results)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said.err

    path = str(tmp_path / "changed.yaml")
    for stage in ("train", "sample", "evaluate"):
        call(stage, path, *runs)
    call("floor", "digits", "--samples", "64")
    base = plan.run("edm-baseline-seed0")
    snapshots = [RunLayout(results, base).snapshot(base.training.images_at(step)) for step in base.snapshot_steps()]
    assert base.temporary_snapshots and all(snapshot.exists() for snapshot in snapshots)
    call("report", path)
    left = {int(snapshot.stem) for snapshot in snapshots if snapshot.exists()}
    assert left == {int(snapshot.stem) for snapshot in snapshots} - set(base.temporary_snapshots)
    for stage in ("train", "sample", "evaluate"):
        assert call(stage, path, *runs, "--keep-finished").count("already finished, kept") == (
            2 if stage == "train" else 3
        )
