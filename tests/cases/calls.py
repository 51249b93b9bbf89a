"""Calls of the command line as a user makes them, within this process: what they print and how they end."""

import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tdbench.cli.main import main
from tdbench.data.sources import SOURCES
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.objectives import OBJECTIVES
from tdbench.diffusion.samplers import SAMPLERS
from tdbench.experiment.extractors import EXTRACTORS
from tdbench.experiment.metrics import METRICS
from tests.preloaded import preloaded

INPUTS = Path(__file__).with_name("inputs")


class Called(NamedTuple):
    """How a call ended."""

    code: int
    out: str
    err: str


@contextmanager
def own_plugins() -> Iterator[None]:
    """What plug-ins register in the block is gone after it, as after a process of its own."""
    registries: list[dict[str, Any]] = [FORMULATIONS, OBJECTIVES, SAMPLERS, SOURCES, METRICS, EXTRACTORS]
    kept, modules = [dict(registry) for registry in registries], set(sys.modules)
    try:
        yield
    finally:
        for registry, before in zip(registries, kept, strict=True):
            registry.clear()
            registry.update(before)
        for name in [name for name in set(sys.modules) - modules if name.startswith("tdbench_plugin_")]:
            del sys.modules[name]


def tdbench(*arguments: object, cwd: Path) -> Called:
    """Call ``tdbench ARGUMENTS`` in a folder. No call may end in a traceback."""
    out, err = io.StringIO(), io.StringIO()
    with (
        own_plugins(),
        chdir(cwd),
        mock.patch.object(sys, "argv", ["tdbench", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        # As a fresh Python prints them: each, and on standard error.
        warnings.simplefilter("default")
        try:
            main()
            code: int | str | None = 0
        except SystemExit as ended:
            code = ended.code
    # Small experiments score few samples; tests/reporting/test_limits.py has what is said of that.
    lines = [line for line in err.getvalue().splitlines(keepends=True) if "even a perfect sampler" not in line]
    called = Called(code if isinstance(code, int) else int(code is not None), out.getvalue(), "".join(lines))
    assert "Traceback" not in called.err, called.err
    return called


def refused(*arguments: object, cwd: Path) -> str:
    """The one line in which ``tdbench ARGUMENTS`` is refused, without `tdbench: error: `."""
    called = tdbench(*arguments, cwd=cwd)
    assert called.code == 2, called
    lines = called.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("tdbench: error: "), called.err
    return lines[0].removeprefix("tdbench: error: ")


def copied(case: str, folder: Path) -> Path:
    """A folder of its own with a case's inputs."""
    return Path(shutil.copytree(INPUTS / case, folder / case))


def environment() -> dict[str, str]:
    """For a subprocess: with the commands of this Python in front."""
    return os.environ | {"PATH": preloaded().path}
