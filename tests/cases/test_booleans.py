"""true and false are no numbers, and numbers and words are no truth values, wherever they stand."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.calls import INPUTS, tdbench

BASE = INPUTS / "booleans" / "base.yaml"


def validated(folder: Path, **changes: Any) -> list[str]:
    """The mistakes of the case's experiment with some blocks changed, without the file's name."""
    content = yaml.safe_load(BASE.read_text()) | {"objectives": {"baseline": {}, "td": {}}, "seeds": [0]}
    content["training"] = content["training"] | {"learning_rate": 1e-3}
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(content.get(key), dict) else value
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    called = tdbench("validate", "e.yaml", cwd=folder)
    assert called.code == (2 if called.err else 0)
    return [line.removeprefix("tdbench: error: e.yaml: ") for line in called.err.splitlines()]


def test_the_case(tmp_path: Path) -> None:
    called = tdbench("validate", BASE, cwd=tmp_path)
    assert called.code == 2
    assert [line.partition("base.yaml: ")[2] for line in called.err.splitlines()] == [
        "objectives.td.lambda: True: should be a valid number",
        "seeds.0: True: should be a valid integer",
        "seeds.1: False: should be a valid integer",
        "training.learning_rate: True: should be a valid number",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sampling": {"steps": [True]}}, "sampling.steps.0: True: should be a valid integer"),
        ({"training": {"optimizer": {"kind": "adam", "betas": [False, 0.99]}}}, "betas.0: False: should be a valid"),
        ({"network": {"kind": "unet-tiny", "dropout": True}}, "network.dropout: True: should be a valid number"),
        ({"formulations": {"edm": {"p_mean": True}}}, "formulations.edm.p_mean: True: should be a valid number"),
        ({"overrides": [{"set": {"training.batch_size": True}}]}, "training.batch_size: True: should be a valid"),
        (
            {"ablations": {"a": {"base": "td", "vary": {"objective.lambda": [True]}}}},
            "ablations.a.vary: objective.lambda: True: should be a valid number",
        ),
        ({"training": {"horizontal_flips": 1}}, "training.horizontal_flips: 1: should be a valid boolean"),
        ({"training": {"horizontal_flips": "yes"}}, "training.horizontal_flips: 'yes': should be a valid boolean"),
        ({"training": {"compile": 0}}, "training.compile: 0: should be a valid boolean, or should be 'auto'"),
    ],
)
def test_further_members(changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    assert any(line in said for said in validated(tmp_path, **changes))


def test_good_ones(tmp_path: Path) -> None:
    """Whole numbers for real ones, and truth values where they belong."""
    training = {"learning_rate": 1, "horizontal_flips": True, "compile": False, "gradient_clip_norm": None}
    assert validated(tmp_path, training=training, runs_per_job=2) == []
    assert validated(tmp_path, training={"compile": "auto"}) == []
