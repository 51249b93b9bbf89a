"""What the Snakefile asks of the package."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import RunLayout
from tdbench.reporting.tracking.uri import without_password
from tdbench.workflow.budget import describe_plans
from tdbench.workflow.flow import Workflow
from tests.conftest import ROOT, TINY
from tests.preloaded import preloaded


def test_an_archive_outlives_its_source(tmp_path: Path) -> None:
    """Snakemake would rebuild, hence delete, an archive whose input vanished from the rule."""
    yaml, source = YAML(typ="safe", pure=True), tmp_path / "mine.zip"
    content = yaml.load(TINY) | {"datasets": {"mine": {"source": "archive", "path": str(source)}}}
    yaml.dump(content, tmp_path / "mine.yaml")
    workflow = Workflow([load_plan(str(tmp_path / "mine.yaml"))], tmp_path / "results")
    assert workflow.source_files("mine") == []
    archive = workflow.dataset("mine").archive
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert workflow.source_files("mine") == [source]
    assert workflow.source_arguments("mine") == f"archive --path {source}"


def test_another_store_is_tracked_anew_and_its_password_not_recorded(tiny: Plan, tmp_path: Path, monkeypatch) -> None:
    workflow = Workflow([tiny], tmp_path)["tiny"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    local = workflow.tracking_key
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:5000")
    assert workflow.tracking_key != local and "secret" not in workflow.tracking_key
    assert without_password("http://me:secret@127.0.0.1:5000") == "http://me:***@127.0.0.1:5000"
    assert without_password("mlruns/here") == "mlruns/here"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert workflow.tracking_key == local


@pytest.mark.slow
def test_a_classifier_is_trained_only_where_its_features_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    text = TINY.read_text()
    assert "evaluation: {" in text
    path.write_text(text.replace("evaluation: {", "evaluation: {features: efficientnet-lite0, "))
    plan = load_plan(str(path))
    workflow = Workflow([plan], tmp_path)
    assert workflow["tiny"].features == "efficientnet-lite0"
    assert workflow.extractor_files("digits", "efficientnet-lite0") == []
    done = planned(path, tmp_path / "results")
    assert done.returncode == 0, done.stderr[-3000:]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M))
    assert not {"classifier", "weights"} & set(counts) and counts["reference"] == "1"
    jobs = re.search(r"^jobs +(\d+)$", describe_plans([plan]), re.M)
    assert jobs is not None and int(jobs[1]) == int(counts["total"]) - 1  # less the target rule `all`


def snakemake(experiment: Path, results: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    config = ("--config", f"experiment={experiment}", f"results={results}")
    return subprocess.run(
        [preloaded().program("snakemake"), *options, *config],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
        capture_output=True,
        text=True,
    )


def planned(experiment: Path, results: Path) -> subprocess.CompletedProcess[str]:
    """What Snakemake would do."""
    return snakemake(experiment, results, "-n")


@pytest.mark.slow
def test_published_weights_are_fetched_by_one_job_and_given_ones_are_an_input(tmp_path: Path) -> None:
    """Inception's, for the references, and those of LPIPS, for the trainings by it; in one experiment."""
    path, results, mine, vgg = (tmp_path / name for name in ("mine.yaml", "results", "mine.pth", "vgg.pth"))
    text = TINY.read_text().replace("edm: {}", "edm: {}\n  ct: {distance: lpips}")
    text = text.replace(", target: {decay: 0.9}", "").replace("runs_per_job: 6", "runs_per_job: 1")
    libraries = "[clean-fid, clean-fid-legacy-tensorflow, torch-fidelity]"
    given = f"evaluation: {{features: inception, libraries: {libraries}, "
    path.write_text(text.replace("evaluation: {", given))
    done = planned(path, results)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M))
    assert (counts["weights"], counts["reference_by_library"]) == ("1", "3") and not {"classifier", "reference"} & set(
        counts
    )
    assert "tdbench weights inception --library clean-fid --library torch-fidelity --results" in done.stdout
    assert counts["distance_weights"] == "1" and f"tdbench weights lpips --results {results}" in done.stdout
    assert inputs_of_trainings(done.stdout) == {"edm": {""}, "ct": {f"{results}/weights/lpips-torchvision.json"}}
    jobs = re.search(r"^jobs +(\d+)$", describe_plans([load_plan(str(path))]), re.M)
    assert jobs is not None and int(jobs[1]) == int(counts["total"]) - 1  # less the target rule `all`

    text = text.replace("evaluation: {", f"{given}weights: {{torch-fidelity: {mine.name}}}, ")
    path.write_text(text.replace("training:\n", f"training:\n  distance_weights: {vgg.name}\n"))
    done = planned(path, results)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("tdbench: error: ")]
    assert said == [f"tdbench: error: {path}: evaluation.weights.torch-fidelity: {mine}: no such file"]
    with pytest.raises(TdbenchError, match=rf"{path}: training\.distance_weights: {vgg}: no such file"):
        Workflow([load_plan(str(path))], results).distance_weights.check()
    mine.touch()
    vgg.touch()
    done = planned(path, results)
    assert "tdbench weights inception --library clean-fid --results" in done.stdout, done.stderr[-3000:]
    reference = next(part for part in done.stdout.split("\n\n") if "reference-inception-torch-fidelity" in part)
    assert f"input: {results}/datasets/digits/archive.zip, {mine}\n" in reference
    assert f"--library torch-fidelity --weights {mine} --results" in reference
    assert "distance_weights" not in re.findall(r"^(\w+) +\d+$", done.stdout, re.M)
    assert inputs_of_trainings(done.stdout) == {"edm": {""}, "ct": {str(vgg)}}
    # Once the features are extracted, and all is trained, the files may go.
    extracted = results / "datasets" / "digits" / "reference-inception-torch-fidelity.npz"
    extracted.parent.mkdir(parents=True)
    plan = load_plan(str(path))
    for made in (extracted, *(RunLayout(results, run).snapshots for run in plan.runs.values())):
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    mine.unlink()
    assert planned(path, results).returncode == 0
    vgg.unlink()
    workflow = Workflow([plan], results)
    workflow.distance_weights.check()
    assert workflow.weights.files("digits", "torch-fidelity") == [mine]
    assert workflow.distance_weights.files(plan.runs.values()) == [vgg]


def inputs_of_trainings(output: str) -> dict[str, set[str]]:
    """Formulation -> what the jobs that train it read besides the data."""
    found: dict[str, set[str]] = {}
    for name, given in re.findall(
        r"rule train:\n    input: \S+archive.zip(.*)\n    output: .*/jobs/.*?(edm|ct)", output
    ):
        found.setdefault(given, set()).add(name.removeprefix(", "))
    return found


@pytest.mark.slow
def test_without_a_network_nothing_is_computed_before_the_weights_are_there(tmp_path: Path) -> None:
    """Although the project's profile lets other jobs go on when one fails; and nothing stays locked."""
    path, results, cache = tmp_path / "mine.yaml", tmp_path / "results", tmp_path / "cache"
    text = TINY.read_text().replace("evaluation: {", "evaluation: {features: inception, ")
    path.write_text(text.replace("edm: {}", "ct: {distance: lpips}").replace(", target: {decay: 0.9}", ""))
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "TDBENCH_CACHE": str(cache)}
    for _ in range(2):
        done = snakemake(path, results, "--cores", "1", **nowhere)
        said = [line for line in done.stderr.splitlines() if line.startswith("tdbench: error: ")]
        assert done.returncode == 2 and len(said) == 3 and "Traceback" not in done.stderr, done.stderr[-3000:]
        for line, name in zip(said, ("inception-2015-12-05.pt", "6726825d.pth", "vgg16-397923af.pth"), strict=True):
            assert "cannot be downloaded" in line and f"put it at {cache}/weights/" in line and name in line
    assert not (results / "datasets").exists() and not any(cache.rglob("*.p*"))
