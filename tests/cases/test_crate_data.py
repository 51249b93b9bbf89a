"""A crate with data repeats from where it lies: the experiment in it reads the data in it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tdbench.experiment.load import load_plan
from tdbench.records.layout import DatasetLayout
from tdbench.workflow.flow import Workflow
from tests.cases.calls import INPUTS, tdbench

pytestmark = pytest.mark.slow

RUNS = ("edm-baseline-seed0", "edm-td-seed0")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case's experiment, on the images of an archive that lies beside the experiment, with its results."""
    folder = tmp_path_factory.mktemp("crate")
    shutil.copy(INPUTS / "few-images" / "r8.zip", folder / "r8.zip")
    content = yaml.safe_load((INPUTS / "crate-data" / "r8.yaml").read_text())
    content["datasets"]["r8"]["path"] = "r8.zip"
    content["evaluation"] |= {"metrics": ["kid"], "features": "efficientnet-lite0", "batch_size": 8}
    (folder / "r8.yaml").write_text("# how it was meant\n" + yaml.safe_dump(content, sort_keys=False))
    archive = DatasetLayout(folder / "res", "r8").archive
    calls: list[tuple[object, ...]] = [
        ("data", "archive", "--path", "r8.zip", "-o", archive),
        ("reference", "r8", "--features", "efficientnet-lite0", "--batch-size", "8", "--results", "res"),
        *((stage, "r8.yaml", *RUNS, "--results", "res") for stage in ("train", "sample", "evaluate")),
        ("report", "r8.yaml", "--results", "res"),
    ]
    for call in calls:
        called = tdbench(*call, cwd=folder)
        assert called.code == 0, called
    return folder


def exported(finished: Path, output: Path, *options: str) -> Path:
    called = tdbench("export", "r8.yaml", "--results", "res", "-o", output, *options, cwd=finished)
    assert called.code == 0, called
    return output


ALL = ("--with-weights", "--with-samples", "--with-data")


def test_the_case(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data are found from any folder, and are those of the results to the byte."""
    crate = exported(finished, tmp_path / "c", *ALL)
    assert (crate / "experiment.yaml").read_text().startswith("# Reads the data that lie beside it; ")
    assert (crate / "experiment-as-written.yaml").read_bytes() == (finished / "r8.yaml").read_bytes()
    called = tdbench("check-crate", "c", cwd=tmp_path)
    assert called.code == 0 and "Before that" not in called.out
    assert "--config experiment=c/experiment.yaml results=again" in called.out
    monkeypatch.chdir(tmp_path)
    workflow = Workflow([load_plan("c/experiment.yaml")], Path("again"))
    arguments = workflow.source_arguments("r8").split()
    assert arguments == ["archive", "--path", "c/datasets/r8/archive.zip"]
    archive = workflow.dataset("r8").archive
    assert tdbench("data", *arguments, "-o", archive, cwd=tmp_path).code == 0
    assert archive.read_bytes() == (crate / "datasets" / "r8" / "archive.zip").read_bytes()


def values(results: Path) -> list[list[float]]:
    """The scores of both runs."""
    files = [results / "r8" / "runs" / "r8" / run / "scores.json" for run in RUNS]
    return [[row["value"] for row in json.loads(file.read_text())["scores"]] for file in files]


def test_what_is_trained_from_the_crate_has_the_same_scores(finished: Path, tmp_path: Path) -> None:
    exported(finished, tmp_path / "c", *ALL)
    shutil.copytree(tmp_path / "c" / "datasets", tmp_path / "again" / "datasets")
    for stage in ("train", "sample", "evaluate"):
        called = tdbench(stage, "c/experiment.yaml", *RUNS, "--results", "again", cwd=tmp_path)
        assert called.code == 0, called
    assert values(tmp_path / "again") == values(tmp_path / "c") == values(finished / "res")


def test_what_is_in_the_crate_is_of_its_experiment(finished: Path, tmp_path: Path) -> None:
    """Trained on the folder of the author's, it goes on from the archive in the crate."""
    exported(finished, tmp_path / "c", *ALL)
    called = tdbench("sample", "c/experiment.yaml", *RUNS, "--results", "c", "--keep-finished", cwd=tmp_path)
    assert called.code == 0 and called.err.count("already finished, kept") == 2, called


def test_other_images_are_not_taken_for_them(finished: Path, tmp_path: Path) -> None:
    crate = exported(finished, tmp_path / "c", *ALL)
    summary = crate / "datasets" / "r8" / "archive.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"sha256": "0" * 64}))
    called = tdbench("sample", "c/experiment.yaml", *RUNS, "--results", "c", cwd=tmp_path)
    assert called.code == 2 and "was trained with other settings" in called.err


def test_without_the_data_it_is_said_what_to_bring(finished: Path, tmp_path: Path) -> None:
    crate = exported(finished, tmp_path / "c")
    words = "copy data set r8, which is not in the crate, to r8.zip (relative to the experiment file)"
    assert f"Before that, {words}" in tdbench("check-crate", "c", cwd=tmp_path).out
    assert f"Before that, {words}." in (crate / "README.md").read_text()
    assert (crate / "experiment.yaml").read_bytes() == (finished / "r8.yaml").read_bytes()
