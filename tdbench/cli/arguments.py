"""Arguments and options that several commands share. Empty paths and names are rejected.

An unset shell variable gives an empty text, and `pathlib.Path("")` would be the working folder.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tdbench.errors import TdbenchError


def path_option(*names: str, help: str) -> Any:
    """Return an option that takes a path. Messages use the first of ``names``."""
    return typer.Option(*names, parser=_path(names[0]), help=help)


def path_argument(name: str, help: str) -> Any:
    """Return an argument that takes a path. Messages call it ``name``."""
    return typer.Argument(parser=_path(name), help=help)


def dataset_argument() -> Any:
    """Return an argument that takes the name of a data set."""
    return typer.Argument(parser=_dataset, help="Name of a data set in the results folder.")


def _path(shown: str) -> Callable[[Any], Path]:
    def parse(value: Any) -> Path:
        return Path(_given(value, shown, "a path"))

    # Typer shows this name in the help.
    parse.__name__ = "path"
    return parse


def _dataset(value: Any) -> str:
    return str(_given(value, "DATASET", "the name of a data set in the results"))


def _given(value: Any, option: str, example: str) -> Any:
    if value == "":
        raise TdbenchError(f"{option} '': is empty; give {example}")
    return value


def check_finite(option: str, value: float | None) -> None:
    """Reject nan and inf, which Python parses as numbers and no range excludes."""
    if value is not None and not math.isfinite(value):
        raise TdbenchError(f"{option} {value}: expected a finite number")


Experiment = Annotated[
    str, typer.Argument(help="Name of an experiment in workflow/experiments, or a path to a YAML file.")
]
Only = Annotated[
    str | None,
    typer.Option(
        "--only",
        parser=lambda value: _given(value, "--only", "seed=0, or seed=0,1"),
        help="Only some seeds: seed=0, or seed=0,1.",
        metavar="seed=K,...",
    ),
]
RunNames = Annotated[
    list[str], typer.Argument(help="Names of runs, such as edm-td-seed0; `tdbench plan` lists them.", metavar="RUN...")
]
KeepFinished = Annotated[
    bool, typer.Option("--keep-finished", help="Skip runs that are done with the same settings, input and code.")
]
Marker = Annotated[
    Path | None, path_option("--marker", help="File to write when all runs are done; Snakemake uses it.")
]
Results = Annotated[Path, path_option("--results", help="Results folder.")]
DatasetName = Annotated[str, dataset_argument()]
Processes = Annotated[
    int,
    typer.Option(
        "--processes", min=0, max=4096, help="Processes per run, each with its own GPU if there are GPUs; 0: no GPU."
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, max=4096, help="CPU threads.")]
