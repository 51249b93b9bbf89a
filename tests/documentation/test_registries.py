"""Tables of the documentation that list the rows of a registry list all of them, as they are."""

import re
from collections.abc import Mapping

import pytest

from tdbench.data.sources import SOURCES
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.samplers import SAMPLERS
from tdbench.experiment.extractors import EXTRACTORS, LIBRARIES
from tdbench.experiment.metrics import METRICS
from tdbench.networks import NETWORKS, nominal_parameters
from tdbench.records.report import FIGURES, TABLES
from tdbench.records.rows import Row
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def table(page: str, header: str) -> dict[str, list[str]]:
    """Name -> the other cells of the table whose header begins so; a row may name several."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    found: dict[str, list[str]] = {}
    for line in lines[begin + 2 :]:
        if not line.startswith("|"):
            break
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", first), cells)
    return found


def own(registry: Mapping[str, type]) -> set[str]:
    """The project's own kinds: plug-ins that other tests loaded are no part of the page."""
    return {name for name, kind in registry.items() if kind.__module__.startswith("tdbench.")}


@pytest.mark.parametrize(
    ("page", "header", "names"),
    [
        ("evaluation.md", "metric", {name for name, row in METRICS.items() if row.function.startswith("tdbench.")}),
        ("evaluation.md", "features", {name for name, row in EXTRACTORS.items() if not row.plugin}),
        ("evaluation.md", "library", set(LIBRARIES)),
        ("data.md", "source", {name for name, source in SOURCES.items() if not source.origin}),
        (
            "method.md",
            "name | order",
            own(SAMPLERS),
        ),
        (
            "method.md",
            "name | α_t, σ_t",
            own(FORMULATIONS),
        ),
    ],
    ids=["metrics", "extractors", "libraries", "sources", "samplers", "formulations"],
)
def test_every_row_is_listed(page: str, header: str, names: set[str]) -> None:
    assert set(table(page, header)) == names


def test_metrics_have_their_direction_and_their_libraries() -> None:
    for name, (better, by, *_) in table("evaluation.md", "metric").items():
        assert better == METRICS[name].better
        assert all(library in by for library in METRICS[name].libraries), name


def test_extractors_and_libraries_are_described_as_they_are() -> None:
    for name, cells in table("evaluation.md", "features").items():
        row = EXTRACTORS[name]
        assert cells[:3] == [row.about, row.resize, row.classes or "–"]
        assert cells[3] == ("once a library" if row.own_of_library else "once for all libraries")
    for name, cells in table("evaluation.md", "library").items():
        assert cells == [LIBRARIES[name].resize, LIBRARIES[name].publisher]


@pytest.mark.parametrize(("header", "rows"), [("table", TABLES), ("figure", FIGURES)])
def test_tables_and_figures_are_listed_with_what_they_show(header: str, rows: tuple[Row, ...]) -> None:
    found = table("report.md", header)
    assert list(found) == [f"{row.name}-*" if row.each else row.name for row in rows]
    for row in rows:
        about, part = found[f"{row.name}-*" if row.each else row.name]
        alone = "" if getattr(row, "on_disk", True) else " alone"
        assert (about, part) == (row.about, f"{row.part}{alone}")


def test_networks_have_their_sizes() -> None:
    found = table("method.md", "network | made for images of")
    assert set(found) == set(NETWORKS)
    for name, (size, parameters, *_) in found.items():
        resolution, channels = NETWORKS[name].nominal
        assert size == f"{resolution}×{resolution}×{channels}"
        assert parameters == f"{nominal_parameters(name, resolution) / 1e6:.3g} M"


def test_every_rule_that_asks_for_memory_is_listed_with_what_it_asks_for() -> None:
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    blocks = re.split(r"^(?= *rule\b)", text, flags=re.MULTILINE)
    asking = {name[1] for block in blocks if "ask.mem_mb(" in block and (name := re.match(r"rule (\w+):", block))}
    assert set(table("cluster.md", "rule")) == asking
