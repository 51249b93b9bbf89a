"""What the Snakefile asks of the package."""

from pathlib import Path

from ruamel.yaml import YAML

from tdbench.plan import Plan, load_plan
from tdbench.reporting.store import without_password
from tdbench.workflow import Workflow
from tests.conftest import TINY


def test_an_archive_outlives_its_source(tmp_path: Path) -> None:
    """Snakemake would rebuild, hence delete, an archive whose input vanished from the rule."""
    yaml, source = YAML(typ="safe", pure=True), tmp_path / "mine.zip"
    content = yaml.load(TINY) | {"datasets": {"mine": {"source": "archive", "path": str(source)}}}
    yaml.dump(content, tmp_path / "mine.yaml")
    workflow = Workflow(load_plan(str(tmp_path / "mine.yaml")), tmp_path / "results")
    assert workflow.source_files("mine") == []
    archive = workflow.dataset("mine").archive
    archive.parent.mkdir(parents=True)
    archive.touch()
    assert workflow.source_files("mine") == [source]
    assert workflow.source_arguments("mine") == f"archive --path {source}"


def test_another_store_is_tracked_anew_and_its_password_not_recorded(tiny: Plan, tmp_path: Path, monkeypatch) -> None:
    workflow = Workflow(tiny, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    local = workflow.tracking_key
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:5000")
    assert workflow.tracking_key != local and "secret" not in workflow.tracking_key
    assert without_password("http://me:secret@127.0.0.1:5000") == "http://me:***@127.0.0.1:5000"
    assert without_password("mlruns/here") == "mlruns/here"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert workflow.tracking_key == local
