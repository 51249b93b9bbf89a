"""Paths that a shell would obey, through the real Snakemake: they stay paths."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, TINY

EVIL = [
    "two words", "it's", 'a "quoted" one', "$(touch pwned)", "`touch pwned`", "a; touch pwned;", "a && touch pwned",
    "a | touch pwned", "a > pwned", "$HOME", "*", "~", "#x", "\\", "-rf", "a\ttab", "é ü", "!x", "a&b", "(x)",
]  # fmt: skip


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A working folder with an experiment of as many data sets as there are evil names of folders."""
    sets = []
    for i, name in enumerate(EVIL):
        images = tmp_path / "images" / name
        images.mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(images / "a.png")
        quoted = f"images/{name}".replace("'", "''")
        sets.append(f"  set{i}: {{source: folder, resolution: 8, path: '{quoted}'}}")
    text = TINY.read_text().replace("  digits: {source: digits}", "\n".join(sets))
    (tmp_path / "-it's $(touch pwned).yaml").write_text(text)
    return tmp_path


def commands(said: str) -> list[list[str]]:
    """The lines of shell that Snakemake would run, as a shell takes them apart."""
    lines = re.findall(r"^ *(?:Shell command: )?(tdbench .*)$", said, re.M)
    return [shlex.split(line, comments=True) for line in lines]


def test_evil_paths_arrive_whole_in_every_command(project: Path) -> None:
    results, experiment = 'it\'s; $(touch pwned) "results"', "-it's $(touch pwned).yaml"
    done = snakemake(
        project, "-n", "-p", "--quiet", "rules", "--config", f"experiment={experiment}", f"results={results}"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = commands(done.stdout)
    by_name = {name: [line for line in found if line[1] == name] for name in {line[1] for line in found}}
    assert {"data", "classifier", "reference", "train", "sample", "evaluate", "report", "track"} <= set(by_name)
    paths = [line[line.index("--path") + 1] for line in by_name["data"]]
    assert sorted(paths) == sorted(f"images/{name}" for name in EVIL)
    for name, lines in by_name.items():
        for line in lines:
            if "--results" in line:
                assert line[line.index("--results") + 1] == results, line
            if name in ("train", "sample", "evaluate", "report", "track"):
                assert line[2] == str(project / experiment), line
            if "--output" in line:
                assert line[line.index("--output") + 1].startswith(f"{results}/datasets/set"), line
    assert not list(project.rglob("pwned"))


def test_evil_paths_are_only_paths_when_commands_run(project: Path) -> None:
    results, experiment = 'it\'s; $(touch pwned) "results" `touch pwned`', "-it's $(touch pwned).yaml"
    chosen = [i for i, name in enumerate(EVIL) if "pwned" in name][:3]
    targets = [f"{results}/datasets/set{i}/archive.zip" for i in chosen]
    config = ("--config", f"experiment={experiment}", f"results={results}")
    done = snakemake(project, "--cores", "2", *targets, *config)
    assert done.returncode == 0, done.stderr[-3000:]
    assert all((project / target).is_file() for target in targets)
    assert not list(project.rglob("pwned"))


def test_a_path_that_snakemake_would_not_take_as_one_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(TINY.read_text().replace("{source: digits}", "{source: archive, path: '<x>.zip'}"))
    for config, words in (
        (
            f"experiment={path}",
            f"{path}: datasets.digits.path: '<x>.zip': Snakemake reads {{...}} and <...> as",
        ),
        ("experiment=$(touch pwned)", "experiment '$(touch pwned)': no such experiment"),
    ):
        done = snakemake(tmp_path, "-n", "--config", config)
        assert done.returncode == 2 and "Traceback" not in done.stderr and words in done.stderr, done.stderr
    assert not list(tmp_path.rglob("pwned"))
