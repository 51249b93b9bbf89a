"""The account of a reproduction's time, from records as Snakemake 9 leaves them."""

import os
from base64 import urlsafe_b64encode
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.overhead import account, table
from benchmarks.snakemake_records import newest_log, read_call, read_jobs
from tdbench.errors import TdbenchError
from tdbench.runtime.files import write_json

BEGUN = "2026-11-24 05:43:15"
LOG = f"SNAKEMAKE\n=========\n  Date: {BEGUN}\n  Host: vm\n\nProvided cores: 2\nElapsed time: 0:01:40.500000\n"
RUNS = ["digits/edm-td-seed0", "digits/edm-td-seed1"]


def record(workdir: Path, output: str, rule: str, job: int, begun: float, ended: float) -> None:
    """As Snakemake does it: the output's name in base64, cut where it is too long for a file's name."""
    name, limit = urlsafe_b64encode(output.encode()).decode(), os.pathconf(workdir, "PC_NAME_MAX") - 1
    *front, last = [name[i : i + limit] for i in range(0, len(name), limit)]
    start = datetime.fromisoformat(BEGUN).timestamp()
    content = {"rule": rule, "job_hash": job, "starttime": start + begun, "endtime": start + ended}
    write_json(workdir.joinpath(".snakemake", "metadata", *(f"@{part}" for part in front), last), content)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """Where a call of 100.5 s on two cores trained, sampled and scored two runs in a job a stage."""
    log = tmp_path / ".snakemake" / "log" / "2026-11-24T054315.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(LOG)
    tiny = tmp_path / "results" / "tiny"
    for run in RUNS:
        write_json(tiny / "runs" / run / "snapshots.json", {"training_seconds": 15.0})
        write_json(tiny / "runs" / run / "samples.json", {"samples": [{"seconds": 1.0}, {"seconds": 2.0}]})
        rows = [
            {"library": library, "metric": metric, "snapshot_kimg": 1.0, "steps": 2, "seconds": 0.5}
            for library in ("clean-fid", "torch-fidelity")
            for metric in ("fid", "kid")
        ]
        write_json(tiny / "runs" / run / "scores.json", {"scores": rows})
    for number, (stage, begun, ended) in enumerate((("train", 5, 45), ("sample", 45, 57), ("evaluate", 57, 63))):
        marker = f"results/tiny/jobs/digits/comparison/edm-1/{stage}.json"
        write_json(tmp_path / marker, {"stage": stage, "runs": RUNS})
        record(tmp_path, marker, stage, number, begun, ended)
    # One job of two outputs, whose names are too long for a file's name in base64.
    for suffix in ("zip", "json"):
        record(tmp_path, f"results/datasets/{'a-long-name/' * 20}archive.{suffix}", "data", 3, 1, 5)
    record(tmp_path, "results/tiny/report.html", "page_tiny", 4, 63, 70)
    return tmp_path


def found(workdir: Path) -> dict:
    call = read_call(newest_log(workdir))
    return account(call, read_jobs(workdir, call, workdir / "results"))


def test_every_core_second_is_spent_on_one_thing(workdir: Path) -> None:
    result = found(workdir)
    assert result["core_s"] == 201.0
    assert {what: round(seconds, 3) for what, seconds in result["spent_s"].items()} == {
        "training": 30.0,
        "sampling": 6.0,
        "features and scores": 2.0,
        "data, classifier, reference": 4.0,
        "start and end of these jobs": 20.0,
        "reports and tracking": 7.0,
        "Snakemake and idle cores": 132.0,
    }
    assert result["share_not_training_sampling_scores"] == pytest.approx(1 - 38 / 201)
    assert result["rules"]["data"]["jobs"] == 1 and result["rules"]["train"]["jobs"] == 1
    assert "81.1%" in table(result)


def test_other_calls_and_other_results_are_left_out(workdir: Path) -> None:
    before = found(workdir)
    record(workdir, "results/tiny/mlflow.json", "track_tiny", 5, -20, -10)
    record(workdir, "elsewhere/tiny/report.html", "page_tiny", 6, 10, 20)
    assert found(workdir) == before


def test_a_call_that_has_not_ended_is_refused(workdir: Path) -> None:
    log = newest_log(workdir)
    log.write_text(LOG.replace("Elapsed time", "Not yet"))
    with pytest.raises(TdbenchError, match="give --log the log of a finished call"):
        read_call(log)
