"""What the command line takes as paths and names: an empty one is refused before any work.

An unset variable of the shell is an empty text, and `pathlib.Path("")` is the working folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from tdbench.errors import TdbenchError


def path_option(*names: str, help: str) -> Any:
    """An option whose value is a path; the first of ``names`` is what messages call it."""
    return typer.Option(*names, parser=_path(names[0]), help=help)


def path_argument(name: str, help: str) -> Any:
    """An argument that is a path; messages call it ``name``."""
    return typer.Argument(parser=_path(name), help=help)


def dataset_argument() -> Any:
    """The name of a data set."""
    return typer.Argument(parser=_dataset, help="Name of a data set in the results.")


def _path(shown: str) -> Callable[[Any], Path]:
    def parse(value: Any) -> Path:
        return Path(_given(value, shown, "a path"))

    # Typer shows it in the help.
    parse.__name__ = "path"
    return parse


def _dataset(value: Any) -> str:
    return str(_given(value, "DATASET", "the name of a data set in the results"))


def _given(value: Any, option: str, example: str) -> Any:
    if value == "":
        raise TdbenchError(f"{option} '': is empty; give {example}")
    return value
