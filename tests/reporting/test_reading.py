"""What a command reads it reads once: files of runs in a report, the experiment's file in every stage."""

import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.preloaded import preloaded

RUN = "edm-td-seed0"
PROGRAM = """
import json, os, sys

opened = []

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
        opened.append(os.path.realpath(os.fsdecode(arguments[0])))

sys.addaudithook(note)
from tdbench.cli.main import app
app(sys.argv[2:], standalone_mode=False)
with open(sys.argv[1], "w") as file:
    json.dump(opened, file)
"""


def files_read(folder: Path, *arguments: object) -> Counter[Path]:
    """How often a command opens each file to read it, by the file."""
    (folder / "program.py").write_text(PROGRAM)
    command = [preloaded().program("script"), "program.py", str(folder / "opened.json"), *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Counter(map(Path, json.loads((folder / "opened.json").read_text())))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.slow
def test_a_report_reads_each_file_of_a_run_once(copy: Path) -> None:
    found = files_read(copy, "report", "short.yaml", "--results", "results")
    runs = (copy / "results" / "short" / "runs").resolve()
    of_runs = {path.relative_to(runs): count for path, count in found.items() if path.is_relative_to(runs)}
    assert {path: count for path, count in of_runs.items() if count > 1} == {}
    names = {path.name for path in of_runs}
    assert names >= {"run.json", "snapshots.json", "metrics.jsonl", "samples.json", "scores.json", "consistency.json"}
    assert names >= {"steps-002.npz", "progress.jsonl"}
    archive = copy / "results" / "datasets" / "digits" / "archive.zip"
    assert 1 <= found[archive.resolve()] <= 2  # its checksum, and its images


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "sample", "evaluate"])
def test_a_stage_reads_the_experiment_once(command: str, copy: Path) -> None:
    found = files_read(copy, command, "short.yaml", RUN, "--results", "results")
    assert found[(copy / "short.yaml").resolve()] == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", [["validate"], ["plan", "--tflops", "1"], ["show", "--results", "results"]])
def test_other_commands_too(command: list[str], copy: Path) -> None:
    name, *options = command
    assert files_read(copy, name, "short.yaml", *options)[(copy / "short.yaml").resolve()] == 1
