"""Commands that messages recommend. They work when typed: with the experiment as given and all options."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

DEFAULT_RESULTS = Path("results")


class NamedRun(Protocol):
    """The facts about a run that a command needs."""

    @property
    def experiment(self) -> str: ...
    @property
    def file(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def weights_name(self) -> str: ...


def command(name: str, *arguments: object, results: Path | None = None) -> str:
    """``tdbench NAME ARGUMENTS --results RESULTS``, quoted for the shell; without the default folder."""
    words = ["tdbench", name, *map(_no_option, arguments)]
    if results is not None and results != DEFAULT_RESULTS:
        words += ["--results", _no_option(results)]
    return shlex.join(words)


def stage(name: str, run: NamedRun, results: Path) -> str:
    """Return the command for a stage of a run. For ``train`` it names the run that trains the weights."""
    # A run that was read from a record knows only the name of its experiment.
    experiment = run.experiment if run.file == Path() else run.file
    return command(name, experiment, run.weights_name if name == "train" else run.name, results=results)


def snakemake(experiment: Path, results: Path, *files: Path, only: str | None = None) -> str:
    """Return the Snakemake command that makes all results of an experiment, or makes these files again.

    ``only`` is the part of the experiment that is wanted; None for all of it.
    """
    words = ["snakemake", "--cores", "all", *(["--force"] if files else [])]
    words += ["--config", f"experiment={_path(experiment)}", f"results={_path(results)}"]
    words += [f"only={only}"] if only else []
    return shlex.join([*words, *(["--", *map(str, files)] if files else [])])


def classifier(file: Path) -> str:
    """Return the command that trains the classifier of a data set again; ``file`` is a file of the data set."""
    return command("classifier", file.parent.name, results=file.parents[2])


def reference(
    file: Path, features: str, libraries: Iterable[str], weights: Path | None = None, plugin: str = ""
) -> str:
    """Return the command that extracts the reference features in ``file`` again."""
    options = [word for library in libraries for word in ("--library", library)]
    given = [*(["--weights", weights] if weights else []), *(["--plugin", plugin] if plugin else [])]
    return command("reference", file.parent.name, "--features", features, *options, *given, results=file.parents[2])


def floor(file: Path, features: str, samples: int, libraries: Iterable[str]) -> str:
    """Return the command that computes the floor in ``file`` again."""
    options = [word for library in libraries for word in ("--library", library)]
    given = ["--features", features, "--samples", samples, *options]
    return command("floor", file.parent.name, *given, results=file.parents[2])


def again(made_by: str | None) -> str:
    """Return advice about a damaged file; ``made_by`` is the command that writes it, if known."""
    return "make it again" if made_by is None else f"run `{made_by}` again"


def _no_option(word: object) -> str:
    """Return the text of an argument; a path that begins with a dash would be read as an option."""
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith("-") else text


def _path(path: Path) -> str:
    """Return a path for Snakemake's config, which would read 007 as a number."""
    text = str(path)
    return text if text == str(DEFAULT_RESULTS) or os.sep in text else f"./{text}"
