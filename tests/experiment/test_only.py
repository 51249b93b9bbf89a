"""A part of an experiment: some of its seeds."""

from pathlib import Path

import pytest

from tdbench.cli.main import main
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan, load_plans
from tdbench.workflow.config import read_config
from tests.conftest import TINY


def test_a_part_has_the_runs_of_its_seeds_alone(tiny) -> None:
    """The same runs, with the same settings, in comparison and ablations."""
    part = load_plan(str(TINY), "seed=1")
    assert part.experiment.seeds == (1,) and part.all_seeds == (0, 1) and part.only == "seed=1"
    assert part.runs == {name: run for name, run in tiny.runs.items() if run.seed == 1}
    assert load_plan(str(TINY), "seed=1,0").experiment.seeds == (0, 1)
    assert load_plan(str(TINY)).only is None and tiny.only is None


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("seed=7", f"--only seed=7: {TINY} has no seed 7; it has 0, 1"),
        ("seed", "--only seed: expected seed=K, or seed=K,L for several"),
        ("seeds=1", "--only seeds=1: expected seed=K, or seed=K,L for several"),
        ("seed=one", "--only seed=one: expected seed=K, or seed=K,L for several"),
        ("seed=0,", "--only seed=0,: expected seed=K, or seed=K,L for several"),
    ],
)
def test_other_parts_are_refused_in_a_line(only: str, said: str) -> None:
    with pytest.raises(TdbenchError) as error:
        load_plan(str(TINY), only)
    assert str(error.value) == said


def test_commands_that_are_advised_name_the_part(tmp_path: Path, monkeypatch, capsys) -> None:
    part = load_plan(str(TINY), "seed=1")
    with pytest.raises(TdbenchError, match=rf"`tdbench plan {TINY} --only seed=1` lists all"):
        part.run("edm-td-seed0")
    monkeypatch.setattr("sys.argv", ["tdbench", "show", str(TINY), "--only", "seed=1", "--results", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert f"--config experiment={TINY} results={tmp_path} only=seed=1`" in capsys.readouterr().err


def test_snakemake_takes_a_part(monkeypatch) -> None:
    assert read_config({}).only is None
    monkeypatch.setattr("sys.argv", ["snakemake", "--config", "only=seed=0,1"])
    assert read_config({"only": "seed=0,1"}).only == "seed=0,1"
    monkeypatch.setattr("sys.argv", ["snakemake", "--config", "only=3"])
    with pytest.raises(TdbenchError, match="--config only=3: expected seed=K"):
        read_config({"only": 3})
    with pytest.raises(TdbenchError, match="--config only=: is empty; give only=seed=0, or omit it for all of it"):
        read_config({"only": ""})


def test_every_experiment_of_a_collection_is_narrowed() -> None:
    assert {plan.experiment.seeds for plan in load_plans("paper", "seed=0")} == {(0,)}
