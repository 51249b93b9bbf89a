"""Experiment files that nobody meant, or that somebody meant badly."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tdbench.errors import TdbenchError
from tdbench.experiment import load
from tdbench.experiment.load import load_plan, load_plans
from tests.conftest import ROOT, TINY
from tests.robustness.damage import DEEP, ENDLESS, altered, damaged
from tests.robustness.tally import inputs, judge

EVERYTHING = """\
name: everything
description: every block once
datasets: {digits: {source: digits}, mine: {source: folder, path: images, resolution: 8}}
formulations: {ddpm: {}, ddim: {schedule: cosine}, vp: {}, ve: {}, edm: {grid: {num_steps: 18}},
  ct: {scales: {final: 9}}}
objectives: {baseline: {}, td: {lambda: 0.5, weight: constant}}
seeds: [0, 1]
network: {kind: unet-tiny, dropout: 0.1}
training: {duration_kimg: 2.56, batch_size: 64, learning_rate: 1e-3, ema_half_life_kimg: 0.3, snapshot_kimg: 0.32,
  optimizer: {kind: radam, betas: [0.9, 0.99]}, augmentation: 0.1, precision: fp32, processes: 2, microbatch_size: 8}
sampling: {sampler: {kind: heun}, steps: [2, 4], images: 128, batch_size: 64}
evaluation: {features: inception, libraries: [clean-fid], weights: w.pth, kid_subset_size: 64, metrics: [fid]}
overrides: [{formulations: [ct], objectives: [td], set: {training.batch_size: 32}},
  {formulations: [edm, vp], objectives: [td], set: {objective.target: {kind: ema, decay: 0.9}}}]
ablations: {weight: {base: td, vary: {objective.lambda: [0.1, 1]}, description: of the weight, formulations: [edm]}}
published: [main]
"""
STRUCTURES: dict[str, Any] = {
    name: YAML(typ="safe", pure=True).load(text)
    for name, text in {"tiny": TINY.read_text(), "everything": EVERYTHING}.items()
}


def plain(block: Any) -> Any:
    """What JSON cannot hold, as Python can."""
    if isinstance(block, dict):
        return {key: plain(value) for key, value in block.items()}
    if isinstance(block, list):
        return [plain(value) for value in block]
    if block == DEEP:
        return [[[[[[[[[]]]]]]]]]
    return 10**40 if block == ENDLESS else block


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None) -> None:
    path = tmp_path / "experiment.yaml"

    @inputs(800)
    @given(
        st.one_of(
            altered(STRUCTURES[name]),
            altered(STRUCTURES[name]["training"]).map(lambda block: STRUCTURES[name] | {"training": block}),
        )
    )
    def check(content: Any) -> None:
        monkeypatch.setattr(load, "read_yaml", lambda _: plain(content))
        # Whether it is a mapping at all is for the reader of the file.
        if isinstance(content, dict):
            judge("experiment, structure", path, lambda: load_plan(str(path)))

    check()


@pytest.mark.slow
def test_text(tmp_path: Path, little_memory: None) -> None:
    path, text = tmp_path / "experiment.yaml", EVERYTHING.encode()

    @inputs(700)
    @given(damaged(text))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("experiment, text", path, lambda: load_plan(str(path)))

    check()


def mapping(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


KEYS = ["name", "datasets", "seeds", "training", "ablations", "includes", "plugins", "other"]
VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8),
        st.integers().map(str),
        st.sampled_from(
            [
                "&a",
                "*a",
                "!!int",
                "!!float",
                "!!binary",
                "!!timestamp",
                "2001-99-99",
                "!!set",
                "!!omap",
                "<<",
                "? ",
                "|",
                "---",
                "!!python/object/apply:os.system",
                "!x",
                "%YAML 1.1",
                "\x07",
                "\u2028",
                "0x",
                "1e999",
                ".nan",
                "9" * 5_000,
                "\ud7ff",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(st.tuples(inner, inner), max_size=4).map(mapping),
        st.tuples(st.sampled_from(["&a ", "!!set ", "!!omap ", "!!str ", "!!binary ", "? "]), inner).map("".join),
    ),
    max_leaves=12,
)


@pytest.mark.slow
def test_yaml_of_all_kinds(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "experiment.yaml"

    @inputs(900)
    @given(VALUES, st.sampled_from(KEYS))
    def check(value: str, key: str) -> None:
        path.write_text(f"{key}: {value}\n", encoding="utf-8", errors="replace")
        judge("experiment, YAML", path, lambda: load_plans(str(path)))

    check()


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "aliases that stand for more than 100,000 values"),
        (f"{LAUGHS}seeds: *k\nname: *j\n", "aliases that stand for more than 100,000 values"),
        ("a: &a [*a]", "an alias to itself"),
        ("&a a: {b: &b {c: [*b]}}", "an alias to itself"),
        ("a: " + "[" * 41 + "]" * 41, "more than 40 nested blocks"),
        ("a: " + "[" * 100_000, "more than 40 nested blocks"),
        ("a: " + "{a: " * 30_000, "more than 40 nested blocks"),
        ("x" * (2**20 + 1), "larger than 1,048,576 bytes"),
        ("a: 2001-99-99", "not valid YAML: impossible value (ValueError: month must be in 1..12"),
        ("a: " + "9" * 5_000, "not valid YAML: impossible value (ValueError: Exceeds the limit"),
        ("!!python/object/apply:os.system ['touch /tmp/pwned']", "not valid YAML at line 1"),
        ("a: !!python/name:os.system", "not valid YAML at line 1"),
        ('name: "a\\nb\\x1b[2J"\n', "name: 'a\\nb\\x1b[2J'"),
        ('"a\\nb\\x1b[2J": 1\n', "a\\nb\\x1b[2J: 1: unknown key"),
    ],
)
def test_bombs_and_traps_of_yaml(text: str, words: str, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    with pytest.raises(TdbenchError) as caught:
        load_plan(str(path))
    assert any(words in mistake for mistake in caught.value.mistakes), caught.value
    assert all(mistake.startswith(f"{path}: ") and mistake.isprintable() for mistake in caught.value.mistakes)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full"])
def test_a_file_without_end_is_no_experiment(path: str, tmp_path: Path) -> None:
    (tmp_path / "endless.yaml").symlink_to(path)
    with pytest.raises(TdbenchError, match="larger than 1,048,576 bytes"):
        load_plan(str(tmp_path / "endless.yaml"))


def test_the_experiments_that_are_altered_are_valid(tmp_path: Path) -> None:
    (tmp_path / "everything.yaml").write_text(EVERYTHING)
    assert load_plan(str(tmp_path / "everything.yaml")).runs and load_plan(str(TINY)).runs and ROOT.is_dir()
