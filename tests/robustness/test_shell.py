"""Paths that a shell would obey, through the real Snakemake: they stay paths."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tdbench.errors import TdbenchError
from tdbench.workflow.flow import Workflow
from tests.conftest import ROOT, TINY
from tests.preloaded import preloaded

EVIL = [
    "two words",
    "it's",
    'a "quoted" one',
    "$(touch pwned)",
    "`touch pwned`",
    "a; touch pwned;",
    "a && touch pwned",
    "a | touch pwned",
    "a > pwned",
    "$HOME",
    "*",
    "~",
    "#x",
    "\\",
    "-rf",
    "a\ttab",
    "é ü",
    "!x",
    "a&b",
    "(x)",
]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        [preloaded().program("snakemake"), "--snakefile", str(ROOT / "Snakefile"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


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


@pytest.mark.slow
def test_evil_paths_arrive_whole_in_every_command(project: Path) -> None:
    # Without a quote at its end, which Snakemake takes away.
    results, experiment = 'it\'s; $(touch pwned) "re" sults', "-it's $(touch pwned).yaml"
    done = snakemake(project, "-n", "-p", "--config", f"experiment={experiment}", f"results={results}")
    assert done.returncode == 0, done.stderr[-3000:]
    found = commands(done.stdout + done.stderr)
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


@pytest.mark.slow
def test_evil_paths_are_only_paths_when_commands_run(project: Path) -> None:
    results, experiment = 'it\'s; $(touch pwned) "results" `touch pwned`', "-it's $(touch pwned).yaml"
    target = f"{results}/datasets/set{EVIL.index('$(touch pwned)')}/archive.zip"
    config = ("--config", f"experiment={experiment}", f"results={results}")
    done = snakemake(project, "--cores", "1", target, *config)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (project / target).is_file()
    assert not list(project.rglob("pwned"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"experiment": "$(touch pwned)"}, "experiment '$(touch pwned)': no such experiment"),
        ({"experiment": "a\nb.yaml"}, "a\\nb.yaml: no such experiment file"),
        ({"results": "{x}"}, "results '{x}': Snakemake reads braces as wildcards"),
        ({"results": "<x>"}, "results '<x>': Snakemake reads braces as wildcards"),
        ({"$(touch pwned)": 1}, "--config $(touch pwned)=1: unknown key"),
        ({"experiment": "path.yaml"}, "path.yaml: datasets.digits.path: '<x>.zip': Snakemake reads {...} and <...>"),
        (
            {"experiment": "braces.yaml"},
            "braces.yaml: datasets.digits.path: '{x}.zip': Snakemake reads {...} and <...>",
        ),
        ({"experiment": "weights.yaml"}, "weights.yaml: evaluation.weights.clean-fid: '{w}.pt': Snakemake reads"),
        ({"experiment": "distance.yaml"}, "distance.yaml: training.distance_weights: '{w}.pth': Snakemake reads"),
    ],
)
def test_what_snakemake_would_not_take_as_a_path_is_refused(
    config: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = TINY.read_text()
    for name, path in {"path": "<x>.zip", "braces": "{x}.zip"}.items():
        Path(f"{name}.yaml").write_text(text.replace("{source: digits}", f"{{source: archive, path: '{path}'}}"))
    features = "evaluation: {features: inception, weights: {clean-fid: '{w}.pt'}, "
    lpips = text.replace("edm: {}", "ct: {distance: lpips}").replace(", target: {decay: 0.9}", "")
    Path("distance.yaml").write_text(lpips.replace("training:\n", "training:\n  distance_weights: '{w}.pth'\n"))
    Path("weights.yaml").write_text(text.replace("evaluation: {", features))
    with pytest.raises(TdbenchError) as caught:
        Workflow.read(config, main_process=False)
    assert words in str(caught.value) and not list(tmp_path.rglob("pwned"))
