"""Commands that messages advise, as they work when typed: with the experiment as it was given, and every option."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

DEFAULT_RESULTS = Path("results")


class NamedRun(Protocol):
    """What a command says of a run."""

    @property
    def experiment(self) -> str: ...
    @property
    def file(self) -> Path: ...
    @property
    def name(self) -> str: ...
    @property
    def weights_name(self) -> str: ...


def command(name: str, *arguments: object, results: Path | None = None) -> str:
    """``tdbench NAME ARGUMENTS --results RESULTS``, quoted for the shell; the default folder need not be named."""
    words = ["tdbench", name, *map(_no_option, arguments)]
    if results is not None and results != DEFAULT_RESULTS:
        words += ["--results", _no_option(results)]
    return shlex.join(words)


def stage(name: str, run: NamedRun, results: Path) -> str:
    """The command of a run's stage; a training is that of the run whose weights are sampled."""
    # Of a run that was read back from a record the experiment's name is all there is.
    experiment = run.experiment if run.file == Path() else run.file
    return command(name, experiment, run.weights_name if name == "train" else run.name, results=results)


def snakemake(experiment: Path, results: Path, *files: Path) -> str:
    """What makes an experiment's results, or some of their files, whether they are there or not."""
    words = ["snakemake", "--cores", "all", *(["--force"] if files else [])]
    words += ["--config", f"experiment={_path(experiment)}", f"results={_path(results)}"]
    return shlex.join([*words, *(["--", *map(str, files)] if files else [])])


def classifier(file: Path) -> str:
    """The command that trains a data set's classifier again, given one of the data set's files."""
    return command("classifier", file.parent.name, results=file.parents[2])


def reference(
    file: Path, features: str, libraries: Iterable[str], weights: Path | None = None, plugin: str = ""
) -> str:
    """The command that extracts a data set's features again, given their file."""
    options = [word for library in libraries for word in ("--library", library)]
    given = [*(["--weights", weights] if weights else []), *(["--plugin", plugin] if plugin else [])]
    return command("reference", file.parent.name, "--features", features, *options, *given, results=file.parents[2])


def again(made_by: str | None) -> str:
    """What to do about a damaged file; ``made_by`` is the command that writes it, where that is known."""
    return "make it again" if made_by is None else f"run `{made_by}` again"


def _no_option(word: object) -> str:
    """A path that begins with a dash would be an option."""
    text = str(word)
    return f"./{text}" if isinstance(word, Path) and text.startswith("-") else text


def _path(path: Path) -> str:
    """A path in Snakemake's config, which takes 007 for a number."""
    text = str(path)
    return text if text == str(DEFAULT_RESULTS) or os.sep in text else f"./{text}"
