"""A data set's path: seen from the experiment file, from the working folder as before with a line that says so."""

import shutil
from pathlib import Path

from tdbench.experiment.load import load_plan
from tdbench.workflow.flow import Workflow
from tests.cases.calls import INPUTS, tdbench

EXPERIMENT = INPUTS / "few-images" / "r8i2.yaml"


def written(folder: Path, path: str, archive: str | None) -> Path:
    """The experiment in the folder `exp` with that path, and the archive where it is said."""
    (folder / "exp").mkdir(exist_ok=True)
    # Enough samples for every score.
    text = EXPERIMENT.read_text().replace("images: 2", "images: 20")
    (folder / "exp" / "e.yaml").write_text(text.replace("path: r8.zip", f"path: {path}"))
    if archive is not None:
        (folder / archive).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(INPUTS / "few-images" / "r8.zip", folder / archive)
    return folder


def test_beside_the_experiment_file(tmp_path: Path, monkeypatch) -> None:
    called = tdbench("validate", "exp/e.yaml", cwd=written(tmp_path, "in/r8.zip", "exp/in/r8.zip"))
    assert called.code == 0 and called.err == ""
    monkeypatch.chdir(tmp_path)
    arguments = Workflow([load_plan("exp/e.yaml")], Path("r")).source_arguments("r8")
    assert arguments == "archive --path exp/in/r8.zip"


def test_in_the_working_folder_with_a_line(tmp_path: Path, monkeypatch) -> None:
    called = tdbench("validate", "exp/e.yaml", cwd=written(tmp_path, "in/r8.zip", "in/r8.zip"))
    assert called.code == 0
    assert called.err.startswith("tdbench: warning: exp/e.yaml: datasets.r8.path: 'in/r8.zip': found in the working")
    assert called.err.endswith("not beside the experiment file; relative to that file it is ../in/r8.zip\n")
    monkeypatch.chdir(tmp_path)
    assert Workflow([load_plan("exp/e.yaml")], Path("r")).source_arguments("r8") == "archive --path in/r8.zip"
    # The path that is advised is right.
    called = tdbench("validate", "exp/e.yaml", cwd=written(tmp_path, "../in/r8.zip", None))
    assert called.code == 0 and called.err == ""


def test_nowhere(tmp_path: Path) -> None:
    called = tdbench("validate", "exp/e.yaml", cwd=written(tmp_path, "in/r9.zip", "in/r8.zip"))
    assert called.code == 0 and called.err.count("\n") == 1
    places = f"{tmp_path / 'exp' / 'in' / 'r9.zip'} and for {tmp_path / 'in' / 'r9.zip'}"
    assert f"datasets.r8.path: 'in/r9.zip': no such file or folder; looked for {places}" in called.err


def test_the_folder_from_which_it_is_called_is_no_setting_of_a_training(tmp_path: Path, monkeypatch) -> None:
    """Else the same experiment would be trained anew."""
    written(tmp_path, "in/r8.zip", "exp/in/r8.zip")
    monkeypatch.chdir(tmp_path)
    outside = load_plan("exp/e.yaml").runs
    monkeypatch.chdir(tmp_path / "exp")
    inside = load_plan("e.yaml").runs
    for name, run in outside.items():
        assert run.training_settings() == inside[name].training_settings()
