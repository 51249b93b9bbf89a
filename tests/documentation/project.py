"""Copies of the project in which documented commands are run, small where the documentation's names are large."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from tdbench.data.archive import read_archive
from tdbench.evaluation.classifier import train_classifier
from tdbench.evaluation.scores import evaluate_run, write_references
from tdbench.layout import DatasetLayout, RunLayout
from tdbench.plan import load_plan
from tdbench.sampling import sample_run
from tdbench.training.loop import train
from tests.conftest import ROOT, TINY
from tests.documentation.blocks import Command
from tests.documentation.how import how

_IGNORED = shutil.ignore_patterns("__pycache__")


class Project:
    """A folder that looks to a reader's commands like a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("workflow", "docs", "benchmarks", "tests/conformance"):
            shutil.copytree(ROOT / name, folder / name, ignore=_IGNORED)
        for name in ("Snakefile", "Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy2(ROOT / name, folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        (folder / ".venv").symlink_to(ROOT / ".venv")
        small = TINY.read_text()
        assert small.count("name: tiny") == 1
        (folder / "workflow" / "experiments" / "digits.yaml").write_text(small.replace("name: tiny", "name: digits"))
        (folder / "my.yaml").write_text(small.replace("name: tiny", "name: mine"))
        images = folder / "my" / "images"
        images.mkdir(parents=True)
        for i, picture in enumerate(np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)):
            Image.fromarray(picture).save(images / f"{i}.png")

    def call(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a line as a shell would, with the environment's programs first in the path."""
        path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "COLUMNS": "200", "NO_COLOR": "1", "MAKEFLAGS": ""}
        for name in ("MLFLOW_TRACKING_URI", "TDBENCH_GPUS", "PYTHONPATH"):
            env.pop(name, None)
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def finish_small_experiment(self) -> None:
        """Train, sample and score ``digits`` in this process, and put a copy into ``other``."""
        plan = load_plan(str(self.folder / "workflow" / "experiments" / "digits.yaml"))
        results = self.folder / "results"
        files = DatasetLayout(results, "digits")
        done = self.call(f"tdbench data digits --output {shlex.quote(str(files.archive))}")
        assert done.returncode == 0, done.stderr
        data = read_archive(files.archive)
        train_classifier(data, files.classifier, files.classifier_report)
        write_references(data, "classifier", 256, files, 1)
        for run in plan.runs.values():
            layout = RunLayout(results, run)
            train(run, files.archive, layout)
            sample_run(run, layout)
            evaluate_run(run, layout, files)
        shutil.copytree(results, self.folder / "other" / "results")


def check(project: Project, command: Command) -> str:
    """What is wrong with a documented command; empty if nothing is."""
    entry = how(command.text)
    if entry is None:
        return "is neither run nor listed in tests/documentation/how.py with a reason"
    if entry.way == "run":
        return _failure(project.call(command.text))
    if entry.way == "plan":
        return _plan(project, command)
    return _unknown_options(project, command.words)


def _plan(project: Project, command: Command) -> str:
    if command.words[0] == "snakemake":
        dry = command.text if "-n" in command.words else f"{command.text} -n"
        return _failure(project.call(dry))
    done = project.call(command.text.replace("make", "make --dry-run --assume-old=.venv/.installed", 1))
    called = re.findall(r"^\S*/(snakemake .*)$", done.stdout, re.MULTILINE)
    return _failure(done) or "".join(_failure(project.call(f"{line} --dry-run")) for line in called)


def _unknown_options(project: Project, words: list[str]) -> str:
    """Options that the program's own help does not name."""
    program = words[: {"python": 3, "snakemake": 1}.get(words[0], 2)]
    done = project.call(shlex.join([*program, "--help"]))
    options = [word.split("=")[0] for word in words[len(program) :] if word.startswith("-")]
    unknown = [option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", done.stdout)]
    return _failure(done) or (f"no such option: {', '.join(unknown)}" if unknown else "")


def _failure(done: subprocess.CompletedProcess[str]) -> str:
    return f"exit code {done.returncode}: {done.stdout[-1500:]}{done.stderr[-3000:]}" if done.returncode else ""
