"""docs/method.md states the presets that the code has."""

import re

import pytest

from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.objectives.td import TDSettings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")


def presets() -> dict[tuple[str, str, str], str]:
    """(formulation, preset, setting) -> the cell of the table *Settings and presets*."""
    lines = PAGE.split("## Settings and presets")[1].split("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header, found = rows[0], {}
    for row in rows[2 : 2 + 7]:
        setting = re.findall(r"`(\w+)`", row[0])[0]
        for title, cell in zip(header[1:], row[1:], strict=True):
            preset = title.rsplit(" ", 1)[1]
            for kind in re.findall(r"`(\w+)`", title):
                found[kind, preset, setting] = cell
    return found


def test_every_preset_has_a_column() -> None:
    stated = {(kind, preset) for kind, preset, _ in presets()}
    # Plug-ins that other tests loaded are no part of the page.
    own = {kind: cls for kind, cls in FORMULATIONS.items() if cls.__module__.startswith("tdbench.")}
    assert stated == {(kind, preset) for kind, cls in own.items() for preset in cls.td_presets}


@pytest.mark.parametrize(("kind", "preset"), sorted({(kind, preset) for kind, preset, _ in presets()}))
def test_the_table_of_presets_is_what_is_computed(kind: str, preset: str) -> None:
    settings = TDSettings(preset=preset).resolved(FORMULATIONS[kind]())
    cells = {setting: cell for (k, p, setting), cell in presets().items() if (k, p) == (kind, preset)}
    assert len(cells) == 7
    for name in ("weight", "coupling", "posterior"):
        assert cells[name].split(" ")[0] == getattr(settings, name)
    for name, value in (("lambda", settings.lambda_), ("span", settings.span), ("stride", settings.stride)):
        assert float(cells[name].split(" ")[0]) == value
    target = settings.target
    expected = f"EMA {target.decay_:g}" if target.kind == "ema" else "CT's own"
    assert cells["target"].startswith(expected)


@pytest.mark.parametrize("kind", ["ddpm", "ddim", "vp", "ve"])
def test_all_but_the_coefficients_is_ours_where_the_paper_evaluates_nothing(kind: str) -> None:
    cells = {setting: cell for (k, _, setting), cell in presets().items() if k == kind}
    assert {setting for setting, cell in cells.items() if "ours" not in cell} == {"posterior"}
