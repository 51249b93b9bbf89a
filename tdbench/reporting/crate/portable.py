"""The experiment file of a crate that has the data in it: its data sets are those that lie beside it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tdbench.layout import DatasetLayout
from tdbench.mistakes import read_yaml
from tdbench.plan import Plan
from tdbench.reporting.crate import WRITTEN


def portable(plan: Plan) -> bytes | None:
    """The experiment with each data set that the user's files were read for as an archive beside it.

    All other settings are as its author wrote them. None where no data set has a path.
    """
    named = [name for name, dataset in plan.experiment.datasets.items() if dataset.path is not None]
    if not named:
        return None
    content = read_yaml(plan.path)
    for name in named:
        # As the files of a crate lie: where they lie in a folder of results.
        place = DatasetLayout(Path(), name).archive.as_posix()
        content["datasets"][name] = {"source": "archive", "path": place}
    writer, written = YAML(typ="safe", pure=True), io.StringIO()
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.default_flow_style = False
    writer.dump(content, written)
    return f"# Reads the data that lie beside it; {WRITTEN} is its author's.\n{written.getvalue()}".encode()


def data_to_bring(settings: Any, names: list[str]) -> list[str]:
    """What a crate's reader has to bring: a line a data set that is read from a path and not in the crate.

    Parameters
    ----------
    settings : object
        What resolved.json holds, a stranger's.
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
        f"data set {name} is not in it: bring it to {path}, as seen from the experiment file"
        for name, path in wanted.items()
        if DatasetLayout(Path(), name).archive.as_posix() not in here
    ]
