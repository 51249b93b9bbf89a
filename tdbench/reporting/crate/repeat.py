"""How to reproduce the content of a crate, from its own description. Imports nothing slow."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rocrate.rocrate import ROCrate

from tdbench.records.layout import DatasetLayout
from tdbench.reporting.crate import EXPERIMENT


def is_commit(text: str) -> bool:
    """Whether a text is a full commit hash, without a suffix such as ``-dirty``."""
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None


def commits_of(crate: ROCrate) -> list[str]:
    """The commits of tdbench that made the crate, without duplicates."""
    found = [entity.get("identifier") for entity in crate.get_by_type("SoftwareApplication")]
    return list(dict.fromkeys(c for c in found if isinstance(c, str) and is_commit(c.removesuffix("-dirty"))))


def again(commits: list[str], crate: str) -> list[str]:
    """Shell lines that reproduce the crate in the folder ``crate``, in a checkout of tdbench."""
    last, lines = commits[-1].removesuffix("-dirty") if commits else "COMMIT", []
    if len(commits) > 1:
        lines = [f"# made by several commits ({', '.join(commits)}); use the last, or each for its own runs"]
    elif not commits:
        lines = ["# the commit of the code that made it is unknown"]
    elif last != commits[0]:
        lines = ["# made by this commit with uncommitted changes"]
    return [
        *lines,
        f"git checkout {last} && make install",
        f".venv/bin/snakemake --cores all --config experiment={crate}/{EXPERIMENT} results=again",
        f".venv/bin/tdbench compare {crate} again",
    ]


def size(count: int) -> str:
    """A number of bytes, formatted for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def data_to_bring(settings: Any, names: list[str]) -> list[str]:
    """One line per data set that is read from a path and is not in the crate.

    Parameters
    ----------
    settings : object
        Content of resolved.json, not validated.
    names : list of str
        Paths of the files in the crate.
    """
    if not isinstance(settings, Mapping):
        return []
    runs = [run for run in settings.values() if isinstance(run, Mapping)]
    wanted: dict[str, str] = {}
    for run in runs:
        name, dataset = run.get("dataset_name"), run.get("dataset")
        if isinstance(name, str) and isinstance(dataset, Mapping) and isinstance(dataset.get("path"), str):
            wanted[name] = dataset["path"]
    here = set(names)
    return [
        f"copy data set {name}, which is not in the crate, to {path} (relative to the experiment file)"
        for name, path in wanted.items()
        if DatasetLayout(Path(), name).archive.as_posix() not in here
    ]
