"""Copies of the project in which documented commands are run, small where the documentation's names are large."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from tdbench.experiment.load import load_plan
from tdbench.records.layout import DatasetLayout
from tests.conftest import ROOT, results_with_data
from tests.documentation.blocks import VARIABLE, Command
from tests.documentation.how import how
from tests.preloaded import preloaded

_IGNORED = shutil.ignore_patterns("__pycache__")


class Done(NamedTuple):
    """How a call ended."""

    code: int
    output: str

    @property
    def fault(self) -> str:
        return f"exit code {self.code}: {self.output[-3000:]}" if self.code else ""


class Project:
    """A folder that looks to a reader's commands like a checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._help: dict[str, Done] = {}
        for name in ("workflow", "docs", "benchmarks", "tests/conformance"):
            shutil.copytree(ROOT / name, folder / name, ignore=_IGNORED)
        for name in ("Snakefile", "Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy2(ROOT / name, folder)
        (folder / "profiles").symlink_to("workflow/profiles")
        (folder / ".venv").symlink_to(ROOT / ".venv")
        small = Path(__file__).with_name("small.yaml").read_text()
        (folder / "workflow" / "experiments" / "digits.yaml").write_text(small)
        (folder / "my.yaml").write_text(small.replace("name: digits", "name: mine"))
        images = folder / "my" / "images"
        images.mkdir(parents=True)
        for i, picture in enumerate(np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)):
            Image.fromarray(picture).save(images / f"{i}.png")

    def call(self, command: str) -> Done:
        """Run a line as a shell would, with the environment's programs first in the path."""
        env = os.environ | {"PATH": preloaded().path, "COLUMNS": "200", "NO_COLOR": "1", "MAKEFLAGS": ""}
        # make hands its variables on: ARGS of `make test ARGS=...` would be those of a documented `make reproduce`.
        variables = re.findall(r"^(\w+) +\?=", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for name in ("MLFLOW_TRACKING_URI", "TDBENCH_GPUS", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", *variables):
            env.pop(name, None)
        words = shlex.split(command)
        while words and VARIABLE.fullmatch(words[0]):
            env |= dict([words.pop(0).split("=", 1)])
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        return Done(done.returncode, done.stdout + done.stderr)

    def help(self, program: list[str]) -> Done:
        """What a program says of its options, asked once."""
        command = shlex.join([*program, "--help"])
        if command not in self._help:
            self._help[command] = self.call(command)
        return self._help[command]

    def finish_small_experiment(self, prepared: DatasetLayout) -> None:
        """Do ``digits`` from its prepared images to its report, and put a copy of the results into ``other``."""
        results_with_data(self.folder / "results", prepared)
        runs = " ".join(
            run.name for run in load_plan(str(self.folder / "workflow/experiments/digits.yaml")).runs.values()
        )
        for command in (
            f"train digits {runs}",
            f"sample digits {runs}",
            f"evaluate digits {runs}",
            "floor digits --samples 96",
            "report digits",
        ):
            done = self.call(f"tdbench {command}")
            assert not done.fault, f"{command}: {done.fault}"
        shutil.copytree(self.folder / "results", self.folder / "other" / "results")


def check(project: Project, command: Command) -> str:
    """What is wrong with a documented command; empty if nothing is."""
    entry = how(command.text)
    if entry is None:
        return "is neither run nor listed in tests/documentation/how.py with a reason"
    if entry.way == "run":
        return project.call(command.text).fault
    if entry.way == "plan":
        return _plan(project, command)
    if entry.way == "elsewhere":
        return ""
    return _unknown_options(project, command.words)


def _plan(project: Project, command: Command) -> str:
    if command.words[0] == "snakemake":
        dry = command.text if "-n" in command.words else f"{command.text} -n"
        return project.call(dry).fault
    done = project.call(command.text.replace("make", "make --dry-run --assume-old=.venv/.installed", 1))
    called = re.findall(r"^\S*/(snakemake .*)$", done.output, re.MULTILINE)
    return done.fault or "".join(project.call(f"{line} --dry-run").fault for line in called)


def _unknown_options(project: Project, words: list[str]) -> str:
    """Options that the program's own help does not name."""
    program = words[: {"python": 3, "snakemake": 1, "pip-audit": 1}.get(words[0], 2)]
    done = project.help(program)
    options = [word.split("=")[0] for word in words[len(program) :] if word.startswith("-")]
    unknown = [option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", done.output)]
    return done.fault or (f"no such option: {', '.join(unknown)}" if unknown else "")
