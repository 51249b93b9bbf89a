"""A formulation whose path is not finite at an end of its grid is refused when the experiment is read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tdbench.diffusion.formulations import FORMULATIONS
from tests.cases.calls import refused, tdbench
from tests.conftest import ROOT, TINY

PLUGIN = """
import torch
from typing import Literal
from tdbench.diffusion.formulations.base import Formulation, uniform
from tdbench.diffusion.grid import LinearGrid
from tdbench.diffusion.preconditioning import NoisePrediction
from tdbench.diffusion.processes import Level
from tdbench.plugins import register

@register("formulation")
class Mine(Formulation):
    kind: Literal["mine"] = "mine"
    grid: LinearGrid = LinearGrid()
    td_presets = {"paper": {"weight": "pairwise", "lambda": 0.5, "span": 1.0, "stride": 0.25,
                            "coupling": "markov", "posterior": "ancestral"}}

    def level(self, t):
        return %s

    def preconditioning(self):
        return NoisePrediction(self.level, lambda t: 999 * t)

    def sample_time(self, z):
        return self.grid.time_min + uniform(z) * (1 - self.grid.time_min)

    def time_of(self, ratio):
        return ratio
"""


def written(folder: Path, formulations: dict[str, Any], **others: Any) -> Path:
    content = yaml.safe_load(TINY.read_text()) | {"formulations": formulations, "ablations": {}} | others
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def test_alpha_that_is_0_at_the_noisiest_time(tmp_path: Path) -> None:
    """So steep a schedule that nothing of the image is left: samples would not be finite, whatever was trained."""
    said = refused("validate", "e.yaml", cwd=written(tmp_path, {"steep": {"kind": "vp", "beta_d": 1e5}}))
    assert said.startswith(
        "e.yaml: formulations.steep: vp: alpha is 0 at the noisiest time of the grid, 1; expected a "
    )


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("Level(1 - t, t.sqrt())", "alpha is 0 at the noisiest time of the grid, 1"),
        ("Level(1 / (1 - t), t)", "alpha is inf at the noisiest time of the grid, 1"),
        (
            "Level(torch.ones_like(t), (t - 0.5).relu())",
            "sigma is 0 at the least noisy time of the grid, 0.001",
        ),
        ("Level((0.5 - t).log(), t)", "alpha is nan at the noisiest time of the grid, 1"),
        ("Level(t.missing, t)", "its path cannot be computed (AttributeError: "),
    ],
)
def test_plug_ins(level: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN % level)
    said = refused("validate", "e.yaml", cwd=written(tmp_path, {"mine": {}}, plugins=["mine.py"]))
    assert said.startswith("e.yaml: formulations.mine: mine: ") and words in said


def test_every_formulation_of_the_project_is_finite(tmp_path: Path) -> None:
    for kind, formulation in FORMULATIONS.items():
        if formulation.__module__.startswith("tdbench."):
            formulation.model_validate({"kind": kind}).check_ends()
    assert tdbench("validate", ROOT / "docs" / "examples" / "plugin.yaml", cwd=tmp_path).code == 0
