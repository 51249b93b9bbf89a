"""Folders of results with characters that mean something in an address of MLflow's store."""

from pathlib import Path

import pytest

from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.reporting.tracking.client import connect
from tdbench.reporting.tracking.uri import tracking_uri
from tdbench.workflow.config import check_paths
from tests.cases.calls import INPUTS, refused
from tests.conftest import TINY

WORDS = "MLflow reads everything after a question mark as options; choose a results folder without one in its path"


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_the_case(tmp_path: Path) -> None:
    (tmp_path / "a?b").mkdir()
    said = refused("track", INPUTS / "question-mark" / "r8.yaml", "--results", "a?b", cwd=tmp_path)
    assert "r8.zip" in said or WORDS in said
    assert [path.name for path in tmp_path.iterdir()] == ["a?b"]


@pytest.mark.parametrize("name", ["a?b", "?", "x/a?b/c"])
def test_the_workflow_refuses_it_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(TdbenchError, match=WORDS):
        check_paths([load_plan(str(TINY))], tmp_path / name)


def test_with_a_server_it_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    check_paths([load_plan(str(TINY))], tmp_path / "a?b")


@pytest.mark.slow
def test_other_signs_lead_to_the_file_of_that_name(tmp_path: Path) -> None:
    results = tmp_path / "a #b%41+&; c"
    local = results / "mlflow" / "mlflow.db"
    connect(tracking_uri(results), local)
    assert local.stat().st_size > 0 and [path.name for path in tmp_path.iterdir()] == [results.name]
