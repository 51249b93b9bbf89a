"""The experiment file of a crate with data, which reads the archives in the crate."""

import io
from pathlib import Path

from ruamel.yaml import YAML

from tdbench.experiment.plan import Plan
from tdbench.experiment.yaml import read_yaml
from tdbench.records.layout import DatasetLayout
from tdbench.reporting.crate import WRITTEN


def portable(plan: Plan) -> bytes | None:
    """The experiment file in which each data set with a path reads its archive in the crate.

    All other settings are unchanged. None if no data set has a path.
    """
    named = [name for name, dataset in plan.experiment.datasets.items() if dataset.path is not None]
    if not named:
        return None
    content = read_yaml(plan.path)
    for name in named:
        # A crate has the layout of a results folder.
        place = DatasetLayout(Path(), name).archive.as_posix()
        content["datasets"][name] = {"source": "archive", "path": place}
    writer, written = YAML(typ="safe", pure=True), io.StringIO()
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.default_flow_style = False
    writer.dump(content, written)
    return f"# Reads the data that lie beside it; {WRITTEN} is its author's.\n{written.getvalue()}".encode()
