"""Values of Snakemake's --config that Snakemake takes for something else than what was typed."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tdbench.errors import TdbenchError
from tdbench.workflow.config import config_text
from tests.cases.calls import INPUTS, environment
from tests.conftest import ROOT

BASE = INPUTS / "config-number" / "base.yaml"


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "-n", "--cores", "1", "--quiet", "all"]
    command += ["--config", f"experiment={BASE}", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


@pytest.mark.slow
def test_the_case_and_its_advice(tmp_path: Path) -> None:
    done = snakemake(tmp_path, "results=2026_11_25")
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and said.startswith("tdbench: error: --config results=2026_11_25: Snakemake reads that")
    option, value = shlex.split(said.partition("give its path: ")[2])
    assert option == "--config" and not (tmp_path / "20261125").exists()
    assert snakemake(tmp_path, value).returncode == 0 and (tmp_path / "2026_11_25" / "mine").is_dir()


@pytest.mark.parametrize(
    ("typed", "read", "words"),
    [
        ("007", 7, r"reads that as 7; give its path: --config results=\./007$"),
        ("1e3", 1000.0, r"reads that as 1000\.0; give its path: --config results=\./1e3$"),
        ("True", True, r"reads that as True; give its path: --config results=\./True$"),
        ("", None, "--config results=: is empty; give results=NAME"),
        ("a #b", "a", "reads that as 'a'; choose another name"),
        ("x: y", {"x": "y"}, "reads that as {'x': 'y'}; choose another name"),
    ],
)
def test_further_members(typed: str, read: object, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["snakemake", "--config", f"results={typed}"])
    with pytest.raises(TdbenchError, match=words):
        config_text("results", read)


def test_an_experiment_of_such_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["snakemake", "--config", "experiment=2026"])
    with pytest.raises(TdbenchError, match=r"--config experiment=workflow/experiments/2026\.yaml$"):
        config_text("experiment", 2026)


@pytest.mark.parametrize("typed", ["./007", "results", "a b", "run 2", "'quoted'", "x#y"])
def test_good_ones(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["snakemake", "--config", f"results={typed}"])
    assert config_text("results", typed.strip("'")) == typed.strip("'")


@pytest.mark.slow
@pytest.mark.parametrize(("given", "passed"), [("2026_11_25", "./2026_11_25"), ("/x/7", "/x/7"), ("a b", "./a b")])
def test_make_passes_a_path(given: str, passed: str) -> None:
    done = subprocess.run(["make", "-n", "reproduce", f"RESULTS={given}"], cwd=ROOT, capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if "/snakemake " in line]
    assert f"results={passed}" in shlex.split(line)
