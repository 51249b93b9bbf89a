"""Several runs in one job: one that fails costs the others nothing, and what is finished is left alone."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.runtime import provenance
from tdbench.runtime.files import write_json
from tdbench.workflow import stages
from tdbench.workflow.stages import do_stage
from tests.conftest import results_with_data


@pytest.fixture
def results(prepared: DatasetLayout, tmp_path: Path) -> Path:
    return results_with_data(tmp_path, prepared)


def short(plan: Plan, name: str, **training: float) -> Run:
    content = plan.run(name).alone().model_dump(by_alias=True)
    content["training"] |= {"duration_kimg": 0.32, "snapshot_kimg": 0.32} | training
    content["sampling"] |= {"steps": [2], "images": 64}
    return Run.model_validate(content)


@pytest.mark.slow
def test_a_run_that_fails_costs_the_others_nothing(tiny: Plan, results: Path, capsys: pytest.CaptureFixture) -> None:
    good, bad, last = (
        short(tiny, "edm-baseline-seed0"),
        short(tiny, "edm-td-seed0", learning_rate=1e9, rampup_kimg=0, duration_kimg=1.28),
        short(tiny, "edm-td-seed1"),
    )
    marker = results / "train.json"
    with pytest.raises(TdbenchError) as caught:
        do_stage("train", [good, bad, last], results, keep_finished=True, marker=marker)
    assert "edm-td-seed0" in str(caught.value) and "learning_rate" in str(caught.value) and not marker.exists()
    assert "continuing with the next" in capsys.readouterr().err
    made = [RunLayout(results, run).snapshots for run in (good, last)]
    before = [path.stat().st_mtime_ns for path in made]
    mended = short(tiny, "edm-td-seed0")
    do_stage("train", [good, mended, last], results, keep_finished=True, marker=marker)
    assert [path.stat().st_mtime_ns for path in made] == before and RunLayout(results, mended).snapshots.exists()
    assert marker.exists() and capsys.readouterr().err.count("already finished, kept") == 2


@pytest.mark.slow
def test_other_settings_data_or_code_and_lost_files_are_done_again(
    tiny: Plan, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short(tiny, "edm-baseline-seed0")
    layout, files = RunLayout(results, run), DatasetLayout(results, "digits")

    def done_again(run: Run = run) -> bool:
        before = layout.snapshots.stat().st_mtime_ns
        do_stage("train", [run], results, keep_finished=True, marker=None)
        return layout.snapshots.stat().st_mtime_ns != before

    do_stage("train", [run], results, keep_finished=True, marker=None)
    assert not done_again()
    other = short(tiny, "edm-baseline-seed0", learning_rate=1e-3)
    assert done_again(other) and done_again(run)
    layout.snapshot(320).unlink()
    assert done_again()
    layout.settings.write_text("{}")
    assert done_again()
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "_package_checksum", lambda: "another line of code")
        assert done_again()
    assert done_again() and not done_again()
    write_json(files.summary, {"sha256": "other data"})
    assert done_again()


@pytest.mark.slow
def test_samples_are_kept_until_their_snapshot_changes(tiny: Plan, results: Path) -> None:
    run = short(tiny, "edm-baseline-seed0")
    layout = RunLayout(results, run)
    do_stage("train", [run], results, keep_finished=False, marker=None)
    do_stage("sample", [run], results, keep_finished=True, marker=None)
    before = layout.samples.stat().st_mtime_ns
    do_stage("sample", [run], results, keep_finished=True, marker=None)
    assert layout.samples.stat().st_mtime_ns == before
    longer = short(tiny, "edm-baseline-seed0", rampup_kimg=0)
    do_stage("train", [longer], results, keep_finished=True, marker=None)
    do_stage("sample", [longer], results, keep_finished=True, marker=None)
    assert layout.samples.stat().st_mtime_ns != before


def test_an_error_of_the_machine_costs_the_others_nothing_either(
    tiny: Plan, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, real = [short(tiny, f"edm-baseline-seed{seed}") for seed in (0, 1)], stages.train_run

    def out_of_memory(run: Run, *rest: Any) -> None:
        if run is runs[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore words")
        real(run, *rest)

    monkeypatch.setattr(stages, "train_run", out_of_memory)
    words = "digits/edm-baseline-seed0: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB$"
    with pytest.raises(TdbenchError, match=words):
        do_stage("train", runs, results, keep_finished=True, marker=None)
    assert RunLayout(results, runs[1]).snapshots.exists()
