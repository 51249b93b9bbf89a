"""Calling the command line as a user does, in this process or in another that can be killed, and what is left then."""

import io
import json
import os
import random
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pandas as pd

from tdbench.cli.main import main

SMALL = Path(__file__).parent / "small.yaml"
RUNS = ("digits/edm-baseline-seed0", "digits/edm-td-seed0")
STAGES = ("train", "sample", "evaluate")
# Of a score, what differs from one time to the next.
_TIMES = {"seconds"}
_WARM = (
    "tdbench.training.loop",
    "tdbench.evaluation.scores",
    "tdbench.reporting.report",
    "tdbench.reporting.page.html",
    "diffusers.models.unets.unet_2d",
)


class Called(NamedTuple):
    """How a command ended, and what it said on standard error."""

    code: int
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("tdbench: error: ")]

    def refused(self, *words: str) -> str:
        """Its one line; there must be no other, and no traceback."""
        assert self.code == 2 and len(self.errors) == 1 and "Traceback" not in self.said, self.said
        assert all(word in self.errors[0] for word in words), self.errors[0]
        return self.errors[0]


def tdbench(*arguments: str | Path) -> Called:
    """A call of the command line in this process."""
    said = io.StringIO()
    with (
        patch.object(sys, "argv", ["tdbench", *map(str, arguments)]),
        redirect_stderr(said),
        redirect_stdout(io.StringIO()),
    ):
        try:
            main()
        except SystemExit as ended:
            return Called(int(ended.code or 0), said.getvalue())
    raise AssertionError("the command line always ends by SystemExit")


def stage(name: str, results: Path, *options: str) -> Called:
    """A stage of both runs, as a job of the workflow does it."""
    return tdbench(*_arguments(name, results), *options)


def _arguments(name: str, results: Path) -> list[str]:
    if name == "report":
        return ["report", str(SMALL), "--results", str(results)]
    marker = results / "small" / "jobs" / f"{name}.json"
    return [name, str(SMALL), *RUNS, "--results", str(results), "--keep-finished", "--marker", str(marker)]


def finish(results: Path, begin: str = "train") -> None:
    """All stages from one on, none of which may fail."""
    for name in STAGES[STAGES.index(begin) :]:
        done = stage(name, results)
        assert done.code == 0, done.said


def begun(name: str, results: Path) -> Any:
    """A stage in a process of its own, which may be killed; those to come have the libraries imported already."""
    context = get_context("forkserver")
    context.set_forkserver_preload(list(_WARM))
    child = context.Process(target=main)
    # A child gets the arguments that its parent had when it was started.
    with patch.object(sys, "argv", ["tdbench", *_arguments(name, results)]):
        child.start()
    return child


def flip(path: Path, source: random.Random) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[source.randrange(len(content))] ^= 1 << source.randrange(8)
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "deleted": lambda path: path.unlink(),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": lambda path: flip(path, random.Random(path.name)),
}


def outcome(results: Path, name: str = "evaluate") -> dict[str, Any]:
    """All numbers up to a stage: weights and samples to the byte, scores to the last digit."""
    runs, found = results / "small" / "runs", {}
    for run in RUNS:
        kinds = ["*.safetensors"] + ["*.npz"] * (name != "train")
        for path in sorted(path for kind in kinds for path in (runs / run).rglob(kind)):
            found[str(path.relative_to(runs))] = path.read_bytes()
        if name == "evaluate":
            scores = json.loads((runs / run / "scores.json").read_text())["scores"]
            found[f"{run} scores"] = [{k: v for k, v in score.items() if k not in _TIMES} for score in scores]
    return found


def reported(results: Path) -> dict[str, Any]:
    """What the report says in numbers, but for times."""
    folder = results / "small"
    scores = pd.read_parquet(folder / "scores.parquet").drop(columns=list(_TIMES))
    names = ("comparison", "comparison-final", "consistency", "nearest", "agreement")
    tables = {name: (folder / "tables" / f"{name}.csv").read_bytes() for name in names}
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    return tables | {"scores": scores.to_csv(), "figures": figures, "page": (folder / "report.html").exists()}


def leftovers(results: Path) -> list[Path]:
    """What was half written."""
    return [path for path in results.rglob("*") if ".tmp" in path.name]


def stages_before(name: str) -> str:
    """The stage whose results another begins with; ``data`` before the first."""
    names = ("data", *STAGES, "report")
    return names[names.index(name) - 1]
