"""Wrong names in an experiment file: all are told in one go, each with the name that was meant."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cases.calls import refused, tdbench
from tests.conftest import TINY


def mistakes(folder: Path, change: dict[str, Any]) -> list[str]:
    content = yaml.safe_load(TINY.read_text()) | change
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    called = tdbench("validate", "e.yaml", cwd=folder)
    assert called.code == (2 if called.err else 0)
    return [line.removeprefix("tdbench: error: e.yaml: ") for line in called.err.splitlines()]


def test_names_of_overrides_and_ablations(tmp_path: Path) -> None:
    change = {
        "overrides": [
            {"formulations": ["ebm"], "objectives": ["baselin"], "set": {"sampling.steps": [2]}},
            {"datasets": ["digit"], "set": {"sampling.steps": [2]}},
        ],
        "ablations": {"a": {"base": "dt", "vary": {"objective.lambda": [1]}}},
    }
    lines = mistakes(tmp_path, change)
    assert len(lines) == 4
    assert lines[0].startswith("overrides.0.formulations: 'ebm': no such name (did you mean 'edm'?); known: ")
    assert lines[1].startswith("overrides.0.objectives: 'baselin': no such name (did you mean 'baseline'?); known: ")
    assert lines[2].startswith("overrides.1.datasets: 'digit': no such name (did you mean 'digits'?); known: digits")
    assert lines[3].startswith("ablations.a.base: 'dt': no such name (did you mean 'td'?); known: ")


def test_dotted_keys_of_overrides_and_ablations(tmp_path: Path) -> None:
    change = {
        "overrides": [{"set": {"sampling.step": [2], "training.batchsize": 3}}, {"set": {"trainig.batch_size": 3}}],
        "ablations": {"a": {"base": "td", "vary": {"objective.lamda": [1], "training.learning_rat": [1]}}},
    }
    lines = mistakes(tmp_path, change)
    meant = {
        "overrides.0.set: sampling.step": "sampling.steps",
        "overrides.0.set: training.batchsize": "training.batch_size",
        "overrides.1.set: trainig.batch_size": "training.batch_size",
        "ablations.a.vary: objective.lamda": "objective.lambda",
        "ablations.a.vary: training.learning_rat": "training.learning_rate",
    }
    assert len(lines) == len(meant)
    for line, (place, name) in zip(lines, meant.items(), strict=True):
        assert line.startswith(f"{place}: no such setting of ") and f"(did you mean {name!r}?)" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainings": {}}, "trainings: {}: unknown key (did you mean 'training'?)"),
        ({"datasets": {"digits": {"source": "digit"}}}, "'digit': no such data source (did you mean 'digits'?)"),
        ({"formulations": {"EDM": {}}}, "kind 'EDM': no such formulation (did you mean 'edm'?)"),
        ({"objectives": {"baseline": {}, "td": {"kind": "dt"}}}, "no such objective (did you mean 'td'?)"),
        ({"objectives": {"baseline": {}, "td": {"lamda": 1}}}, "lamda: 1: unknown key (did you mean 'lambda'?)"),
        ({"network": "unet-tyni"}, "no such network (did you mean 'unet-tiny'?)"),
        ({"evaluation": {"metrics": ["fd"]}}, "'fd': no such metric (did you mean 'fid'?)"),
        ({"evaluation": {"libraries": ["cleanfid"]}}, "no such library (did you mean 'clean-fid'?)"),
        ({"evaluation": {"features": "inceptoin"}}, "no such feature extractor (did you mean 'inception'?)"),
        ({"sampling": {"sampler": "hen", "steps": [2], "images": 100}}, "no such sampler (did you mean 'heun'?)"),
        ({"zzz": 1}, "zzz: 1: unknown key; known here: name, description, "),
    ],
)
def test_did_you_mean(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert any(words in line for line in mistakes(tmp_path, change)), mistakes(tmp_path, change)


def test_experiments_and_runs(tmp_path: Path) -> None:
    assert "no such experiment (did you mean 'digits'?)" in refused("validate", "digit", cwd=tmp_path)
    assert "nearest: digits/edm-td-seed0" in refused("train", TINY, "edm-dt-seed0", cwd=tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"datasets": {"digits": {"source": "digits"}, "Digits": {"source": "digits"}}}, "'digits' and 'Digits'"),
        ({"formulations": {"edm": {}, "Edm": {"kind": "edm"}}}, "'edm' and 'Edm'"),
        ({"objectives": {"baseline": {}, "td": {}, "TD": {"kind": "td"}}}, "'td' and 'TD'"),
        ({"name": "Datasets"}, "name: 'Datasets': is the name of a folder that tdbench keeps in the results"),
    ],
)
def test_names_that_differ_in_case_alone_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert any(words in line for line in mistakes(tmp_path, change | {"ablations": {}}))


def test_experiments_of_a_collection_too(tmp_path: Path) -> None:
    for name in ("one", "ONE"):
        (tmp_path / f"{name}.yaml").write_text(TINY.read_text().replace("name: tiny", f"name: {name}"))
    (tmp_path / "both.yaml").write_text("name: both\nincludes: [one.yaml, ONE.yaml]\n")
    assert "two experiments are called 'ONE'" in refused("validate", "both.yaml", cwd=tmp_path)


def test_a_good_one(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {}) == []
