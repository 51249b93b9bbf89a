"""`tdbench compare`: two reproductions that are the same, differ by rounding, by chance, in truth, or lack some."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from tdbench.cli.main import app
from tdbench.errors import TdbenchError
from tdbench.reporting.compare import compare_results, compare_scores

OBJECTIVES, SEEDS, STEPS = ("baseline", "td"), (0, 1, 2, 3), (4, 6, 9)


def scores(seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Two snapshots a run, spread by seed."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": "digits",
            "formulation": "edm",
            "objective": objective,
            "seed": seed,
            "metric": metric,
            "library": "clean-fid",
            "features": "classifier",
            "steps": steps,
            "nfe": 2 * steps - 1,
            "run": f"digits/edm-{objective}-seed{seed}",
            "snapshot_kimg": kimg,
            "reference_data": "a1",
            "value": 10 + rng.standard_normal(),
        }
        for objective in OBJECTIVES
        for metric in ("fid", "kid")
        for seed in SEEDS
        for steps in STEPS
        for kimg in (1, 2)
    ]
    frame = pd.DataFrame(rows)
    return frame[frame.seed.isin(seeds)].reset_index(drop=True)


def write(folder: Path, frame: pd.DataFrame, commit: str = "c0ffee") -> Path:
    (folder / "digits").mkdir(parents=True)
    frame.to_parquet(folder / "digits" / "scores.parquet")
    origin = {"git_commit": commit, "torch": "2.11", "device": "cpu", "data": "a1"}
    pd.DataFrame([origin]).to_csv(folder / "digits" / "runs.csv")
    return folder


def compared(tmp_path: Path, other: pd.DataFrame, *options: str) -> Result:
    a, b = write(tmp_path / "a", scores()), write(tmp_path / "b", other, commit="decaf")
    return CliRunner().invoke(app, ["compare", str(a), str(b), *options])


def test_equal_bits_are_the_same(tmp_path: Path) -> None:
    result = compared(tmp_path, scores().sample(frac=1, random_state=0))
    assert result.exit_code == 0
    assert "12 cells: 12 identical" in result.output and "A and B are the same." in result.output
    assert "commit: A c0ffee, B decaf" in result.output and "torch: 2.11" in result.output
    assert "| digits" not in result.output
    assert compared(tmp_path / "every", scores(), "--all").output.count("| digits") == 12


def test_rounding_is_the_same_up_to_the_tolerance(tmp_path: Path) -> None:
    other = scores().assign(value=lambda f: f.value * (1 + 1e-5))
    result = compared(tmp_path, other)
    assert result.exit_code == 0 and "12 within tolerance" in result.output and "1.0e-05" in result.output
    # The shift is the same everywhere: beyond the tolerance a paired test sees it.
    result = compared(tmp_path / "strict", other, "--tolerance", "1e-6")
    assert result.exit_code == 1 and "12 different" in result.output


def test_another_sample_of_the_same_is_no_difference_but_not_the_same_either(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    other = scores().assign(value=lambda f: f.value + 0.3 * rng.standard_normal(len(f)))
    result = compared(tmp_path, other)
    assert result.exit_code == 0 and "No difference between A and B was found, but" in result.output
    assert "A and B are the same" not in result.output


def test_a_difference_in_truth_is_found_where_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    other = scores().assign(value=lambda f: f.value + 0.1 * rng.standard_normal(len(f)))
    shifted = (other.objective == "td") & (other.metric == "fid")
    other.loc[shifted, "value"] += 2
    table = compare_scores(scores(), other)
    different = table[table.verdict == "different"]
    assert len(different) == len(STEPS) and set(different.objective) == {"td"} and set(different.metric) == {"fid"}
    assert different.difference.to_numpy() == pytest.approx(2, abs=0.3)
    result = compared(tmp_path, other)
    assert result.exit_code == 1 and "A and B differ: 3 of 12 cells are not the same" in result.output


@pytest.mark.slow
def test_false_alarms_are_rare() -> None:
    """Simulated: of two reproductions with the same distribution, at most one in twenty is called different."""
    rng, alarms, tries = np.random.default_rng(2), 0, 150
    base = scores()
    for _ in range(tries):
        a, b = (base.assign(value=10 + rng.standard_normal(len(base))) for _ in range(2))
        alarms += (compare_scores(a, b)[lambda t: t.metric == "fid"].verdict == "different").any()
    assert alarms / tries < 0.05 + 2 * (0.05 * 0.95 / tries) ** 0.5


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (scores((0, 1, 2)), "12 some seeds only in A"),
        (scores()[lambda f: f.steps != 4], "8 identical, 4 only in A"),
        (scores().assign(reference_data="b2"), "12 other data"),
        (scores().assign(seed=lambda f: f.seed + 10), "12 only in A"),
    ],
)
def test_what_one_side_lacks_is_said(other: pd.DataFrame, words: str, tmp_path: Path) -> None:
    result = compared(tmp_path, other)
    assert result.exit_code == 1 and words in result.output


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    one = scores((0,))
    a, b = write(tmp_path / "a", one), write(tmp_path / "b", one.assign(value=one.value * 1.1))
    text, same = compare_results(a, b, 1e-3, every_cell=False)
    assert not same and "12 undecided (one seed)" in text


def test_a_folder_of_one_experiment_will_do_whatever_its_name(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores()), write(tmp_path / "b", scores())
    (b / "digits").rename(b / "again")
    assert compare_results(a / "digits", b / "again", 1e-3, every_cell=False)[1]
    write(tmp_path / "c", scores())
    (tmp_path / "c" / "digits").rename(b / "more")
    with pytest.raises(TdbenchError, match="no experiment in common: digits and again, more"):
        compare_results(a, b, 1e-3, every_cell=False)
    (b / "more").rename(b / "digits")
    text, same = compare_results(a, b, 1e-3, every_cell=False)
    assert not same and "again: only in B" in text and "A and B differ: an experiment is in one of them only." in text


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", b"PAR1" + bytes(200)])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", scores()), write(tmp_path / "b", scores())
    (b / "digits" / "scores.parquet").write_bytes(content)
    with pytest.raises(TdbenchError, match=r"b/digits/scores.parquet: no readable scores") as caught:
        compare_results(a, b, 1e-3, every_cell=False)
    assert "\n" not in str(caught.value)


def test_a_file_without_what_is_needed_is_named(tmp_path: Path) -> None:
    a = write(tmp_path / "a", scores())
    for name, frame, words in (
        ("b", scores().drop(columns="nfe"), "has no column 'nfe'"),
        ("c", scores().assign(value=np.nan), "value: has no scores, or scores that are not finite"),
    ):
        with pytest.raises(TdbenchError, match=words):
            compare_results(a, write(tmp_path / name, frame), 1e-3, every_cell=False)
    with pytest.raises(TdbenchError, match="no such folder"):
        compare_results(a, tmp_path / "nowhere", 1e-3, every_cell=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TdbenchError, match="no experiment with scores"):
        compare_results(a, tmp_path / "empty", 1e-3, every_cell=False)
