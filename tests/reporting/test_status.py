"""`tdbench status` on real short runs: at work, killed, failed, done, and made before there were logs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tdbench.cli.main import app
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.reporting.status.experiment import ExperimentStatus, read_status
from tdbench.reporting.status.plan_file import write_plan_file
from tdbench.reporting.status.run import Expected, RunStatus
from tdbench.reporting.status.table import describe, duration
from tdbench.workflow.stages import do_stage
from tests.conftest import ROOT, TINY, results_with_data
from tests.preloaded import preloaded

RUN = "digits/edm-td-seed0"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The tiny experiment with trainings of five steps."""
    path = tmp_path_factory.mktemp("experiment") / "short.yaml"
    changes = {"duration_kimg: 2.56": "duration_kimg: 0.32", "steps: [2, 4], images: 128": "steps: [2], images: 64"}
    text = TINY.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return load_plan(str(path))


@pytest.fixture(scope="module")
def finished(short: Plan, prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results in which one run went through all stages, and the others did not begin."""
    results = results_with_data(tmp_path_factory.mktemp("results"), prepared)
    for stage in ("train", "sample", "evaluate"):
        do_stage(stage, [short.run(RUN)], results, keep_finished=False, marker=None)
    write_plan_file(short, results)
    return results


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "results"))


def layout_of(results: Path, plan: Plan, name: str = RUN) -> RunLayout:
    return RunLayout(results, plan.run(name))


def status(results: Path, name: str = RUN) -> RunStatus:
    (experiment,) = read_status(results)
    return next(one for one in experiment.statuses if one.run.name == name)


def log(path: Path, **changes: Any) -> None:
    """A line of a log as another process on this host would write it now."""
    line = {
        "epoch": time.time(),
        "stage": "train",
        "state": "running",
        "done": 64,
        "total": 320,
        "unit": "img",
        "rate": 32.0,
        "every_s": 5.0,
        "host": os.uname().nodename,
        "pid": os.getpid(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line | changes) + "\n")


def shown(*arguments: str) -> str:
    done = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["status", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_a_run_that_is_done_and_others_that_wait(results: Path) -> None:
    (experiment,) = read_status(results)
    assert experiment.counts() == {"done": 1, "waiting": 7} and experiment.path is not None
    text = shown(str(results))
    assert "8 runs: 1 done, 7 waiting" in text and "time left: – (nothing is at work)" in text
    assert re.search(r"^edm-td +2 +1 +1$", text, re.M) and "edm-td-seed0" not in text
    assert re.search(r"^edm-td-seed0 +done$", shown(str(results), "--all"), re.M)
    assert shown(str(results / "tiny")) == text


@pytest.mark.parametrize(
    ("gone", "stage"), [(("scores.json",), "evaluate"), (("scores.json", "samples.json"), "sample")]
)
def test_what_comes_next_follows_from_the_files(results: Path, short: Plan, gone: tuple[str, ...], stage: str) -> None:
    for name in gone:
        (layout_of(results, short).folder / name).unlink()
    assert (status(results).state, status(results).stage) == ("waiting", stage)


def test_scores_of_weights_that_were_trained_anew_do_not_count(results: Path, short: Plan) -> None:
    do_stage("train", [short.run(RUN)], results, keep_finished=False, marker=None)
    assert layout_of(results, short).scores.exists()
    assert (status(results).state, status(results).stage) == ("waiting", "sample")


def test_less_than_the_plan_asks_for_is_not_done(results: Path, short: Plan) -> None:
    path = results / "tiny" / "plan.json"
    content = json.loads(path.read_text())
    for entry in content["runs"]:
        entry["score_sets"] *= 2
    path.write_text(json.dumps(content))
    found = status(results)
    assert found.state == "waiting" and found.total == 2 * (found.done or 0)
    # A set by each library, and five of the curve.
    assert "scores.json: 7 set, of 14" in found.note and found.note in shown(str(results))


def begin(results: Path, plan: Plan, name: str) -> subprocess.Popen[bytes]:
    """A training of hours, in a process of its own."""
    experiment = results / "long.yaml"
    experiment.write_text(plan.path.read_text().replace("duration_kimg: 0.32", "duration_kimg: 2000"))
    command = [preloaded().program("tdbench"), "train", str(experiment), name, "--results", str(results)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)


def wait_for(holds: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "nothing was seen in time"
        time.sleep(0.2)


@pytest.mark.slow
def test_trainings_are_followed_from_outside_until_they_end(results: Path, short: Plan) -> None:
    """One is killed, one is interrupted."""
    names = ("digits/edm-td-seed1", "digits/edm-baseline-seed0")
    processes = [begin(results, short, name) for name in names]
    try:
        wait_for(lambda: all(status(results, name).rate for name in names))
        found = status(results, names[0])
        assert found.state == "training" and found.total == 2_000_000 and 0 < (found.done or 0) < 2_000_000
        assert found.seconds_left == pytest.approx((2_000_000 - (found.done or 0)) / (found.rate or 1))
        text = shown(str(results))
        assert "2 at work" in text and "time left: about" in text
        line = r"^edm-td-seed1 +training +\d+ % +[\d.,k]+/2M img +[\d.,k]+ img/s +\d.* (min|s)$"
        assert re.search(line, text, re.M)
        (said,) = json.loads(shown(str(results), "--json"))["experiments"]
        assert next(run for run in said["runs"] if run["run"] == names[0])["percent"] > 0
        processes[1].send_signal(signal.SIGINT)
        processes[1].wait(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    # The program ends a moment after the command that was killed.
    wait_for(lambda: status(results, names[0]).state == "stopped")
    killed, interrupted = (status(results, name) for name in names)
    assert killed.state == interrupted.state == "stopped"
    assert "is gone" in killed.note and "interrupted" in interrupted.note
    assert "edm-td-seed1: stopped in training: process " in shown(str(results))


def test_a_run_that_failed_says_why(results: Path, short: Plan) -> None:
    run = short.run(RUN)
    layout_of(results, short).sample_set(320, 2).write_bytes(b"damaged")
    with pytest.raises(TdbenchError):
        do_stage("evaluate", [run], results, keep_finished=False, marker=None)
    found = status(results)
    assert (found.state, found.stage) == ("failed", "evaluate")
    assert "changed since it was sampled" in found.note
    text = shown(str(results))
    assert "7 waiting, 1 failed" in text and "changed since" in text
    DatasetLayout(results, "digits").archive.unlink()
    with pytest.raises(TdbenchError):
        do_stage("train", [run], results, keep_finished=False, marker=None)
    assert (status(results).state, status(results).stage) == ("failed", "train") and "archive.zip" in status(
        results
    ).note


def test_signs_of_life(results: Path, short: Plan) -> None:
    name = "digits/edm-td-seed1"
    path = layout_of(results, short, name).progress
    log(path)
    assert status(results, name).state == "training" and status(results, name).seconds_left == 8
    log(path, host="elsewhere", pid=1)
    assert status(results, name).state == "training"
    log(path, host="elsewhere", epoch=time.time() - 300, every_s=180.0)
    assert status(results, name).state == "training"
    log(path, host="elsewhere", epoch=time.time() - 300)
    assert status(results, name).state == "silent"
    assert re.search(r"edm-td-seed1: no update since [\d :-]+ \(on elsewhere\)", shown(str(results)))


def test_torn_damaged_and_missing_files_cost_only_their_own_run(results: Path, short: Plan) -> None:
    name = "digits/edm-td-seed1"
    path = layout_of(results, short, name).progress
    log(path)
    with path.open("ab") as file:
        file.write(b'{"epoch": 1, "stage": "train", "st')
    assert status(results, name).done == 64
    log(path, stage="no such stage")
    log(path, epoch="yesterday", done=[])
    log(path, stage=["train"], epoch=1e300)
    assert status(results, name).done == 64
    path.write_bytes(b"\x00\xff\x00")
    assert status(results, name).state == "waiting" and "has no readable line" in status(results, name).note
    for content, said in (
        ("{", "not JSON"),
        ('{"scores": 3}', "damaged, or of another version of tdbench"),
        ("[]", "damaged, or of another version"),
    ):
        layout_of(results, short).scores.write_text(content)
        assert status(results).state == "damaged" and said in status(results).note
        assert status(results, "digits/edm-baseline-seed0").state == "waiting"
    for content in ("{", "[]", '{"path": "x", "runs": [{"name": 3}]}', '{"runs": 3}'):
        (results / "tiny" / "plan.json").write_text(content)
        (experiment,) = read_status(results)
        assert "plan.json: damaged or of another version" in experiment.note and len(experiment.statuses) == 2


def test_features_and_libraries_of_a_later_version_cost_nothing(results: Path) -> None:
    path = results / "tiny" / "plan.json"
    content = json.loads(path.read_text())
    for entry in content["datasets"].values():
        entry["features"] = "of-a-later-version"
    path.write_text(json.dumps(content))
    assert "of-a-later-version" not in shown(str(results)) and status(results).state == "done"


def test_results_from_before_there_were_logs_and_plans(results: Path, short: Plan) -> None:
    (results / "tiny" / "plan.json").unlink()
    layout = layout_of(results, short)
    layout.progress.unlink()
    assert status(results).state == "done" and "only runs that have started are listed" in shown(str(results))
    layout.scores.unlink()
    assert (status(results).state, status(results).stage) == ("waiting", "evaluate")
    layout.samples.unlink()
    assert (status(results).state, status(results).stage) == ("waiting", "sample")
    layout.snapshots.unlink()
    # The run may have been made a while ago.
    os.utime(layout.metrics)
    found = status(results)
    assert (found.state, found.done, found.total) == ("training", 320, 320) and found.rate
    os.utime(layout.metrics, (time.time() - 3600,) * 2)
    assert status(results).state == "silent" and "no update since" in status(results).note


def test_runs_that_share_weights_wait_for_them(results: Path, short: Plan) -> None:
    path = results / "tiny" / "plan.json"
    content = json.loads(path.read_text())
    for entry in content["runs"]:
        entry["weights_name"] = RUN
    path.write_text(json.dumps(content))
    assert (status(results, "digits/edm-td-seed1").state, status(results, "digits/edm-td-seed1").stage) == (
        "waiting",
        "sample",
    )
    layout_of(results, short).snapshots.unlink()
    log(layout_of(results, short).progress)
    assert (status(results, "digits/edm-td-seed1").state, status(results, "digits/edm-td-seed1").stage) == (
        "waiting",
        "train",
    )


def test_the_time_left_is_given_only_as_far_as_it_was_measured(results: Path, short: Plan) -> None:
    """One run is done; two of the same network train now: what lies ahead was measured for all stages."""
    for name in ("digits/edm-td-seed1", "digits/edm-baseline-seed0"):
        log(layout_of(results, short, name).progress)
    (experiment,) = read_status(results)
    assert set(experiment.seconds_left) == {"train", "sample", "evaluate"}
    assert all(seconds and seconds > 0 for seconds in experiment.seconds_left.values())
    assert re.search(r"time left: about .*, 2 at a time, at the pace so far", shown(str(results)))
    layout_of(results, short).scores.unlink()
    text = " ".join(shown(str(results)).split())
    assert re.search(r"time left: about \d+ s of training, about \d+ s of sampling, .*; scoring not measured yet", text)
    training = read_status(results)[0].seconds_left["train"]
    # Two have 8 s left; three more take what was measured of the run that is done and of those two.
    assert training is not None and 8 <= training <= (2 * 8 + 3 * 10) / 2


def test_sampling_is_estimated_by_steps(results: Path, short: Plan) -> None:
    """Half of the images of sets at 2 and 8 steps is a fifth of the work."""
    from tdbench.reporting.status.run import _seconds_left
    from tdbench.reporting.status.work import image_steps

    run = Expected("x", "d/r-seed0", "d/r-seed0", sample_sets=2, set_images=100, steps=(2, 8))
    assert image_steps(run, 0, 200) == 1000 and image_steps(run, 50, 150) == 500
    assert _seconds_left(run, "sample", 50, 200, 10.0) == 900 / 20
    assert _seconds_left(run, "sample", 100, 200, 10.0) == 10 and _seconds_left(run, "sample", 200, 200, 10.0) == 0


def test_many_runs_fit_a_narrow_terminal() -> None:
    runs = [Expected("x", f"digits/vp-td-a-rather-long-name-of-{n}-seed{n}", "w") for n in range(300)]
    statuses = [RunStatus(run, "done", "evaluate") for run in runs[:297]]
    statuses += [
        RunStatus(run, "training", "train", 123_456_789, 200_000_000, "img", 1234.5, 1e6) for run in runs[297:299]
    ]
    statuses += [RunStatus(runs[299], "failed", "train", 5, 9, "img", since=time.time(), note="because " * 40)]
    text = describe(ExperimentStatus("x", "x.yaml", statuses, 2, {"train": 1e6}), False, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "297 done, 2 at work, 1 failed" in text and "61 %" in text and "11 d 13 h" in text and "-seed298" in text


def test_durations() -> None:
    said = [duration(seconds) for seconds in (0.4, 65, 3600, 90_061)]
    assert said == ["0 s", "1 min 05 s", "1 h 00 min", "1 d 01 h"]


def test_folders_without_results_are_one_clear_error(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "no such folder"), (tmp_path, "no experiment in it")):
        with pytest.raises(TdbenchError, match=said):
            read_status(folder)


def test_the_plan_is_written_only_when_it_changed(results: Path, short: Plan) -> None:
    path = results / "tiny" / "plan.json"
    before = path.stat().st_mtime_ns
    write_plan_file(short, results)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"\xff")
    write_plan_file(short, results)
    assert [entry["name"] for entry in json.loads(path.read_text())["runs"]] == list(short.runs)


def test_it_waits_for_no_library_of_the_stages(results: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tdbench.reporting.status.table import show_status; "
        f"show_status(Path({str(results)!r}), False, None, False); "
        "slow = {'torch', 'numpy', 'pydantic', 'pandas', 'diffusers', 'tdbench.experiment.load'} & set(sys.modules); "
        "sys.exit(', '.join(slow) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "8 runs" in done.stdout


def test_watching_shows_it_again_until_interrupted(results: Path) -> None:
    command = [sys.executable, "-m", "tdbench", "status", str(results), "--json", "--watch", "0.5"]
    with subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell gives what it starts in the background, such as these tests, a Ctrl-C that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0 and process.stderr.read() == ""
    assert lines[0] == lines[1]
