import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tdbench.reporting.cells import interval, number, spread
from tdbench.reporting.findings import Table
from tdbench.reporting.statistics import (
    agreement,
    bootstrap_intervals,
    compare,
    decide,
    paired_difference,
    seeds_needed,
)
from tdbench.reporting.tables import write_table


def test_interval_is_that_of_the_paired_t_test() -> None:
    td, base = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 2.2, 4.9, 3.1])
    found = paired_difference(td, base)
    expected = stats.ttest_rel(td, base).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((td - base).mean()) and found.n == 4
    assert found.p == pytest.approx(stats.ttest_rel(td, base).pvalue)


def scores(values: dict[tuple[str, int], float]) -> pd.DataFrame:
    fixed = {
        "dataset": "d",
        "formulation": "f",
        "metric": "fid",
        "library": "l",
        "features": "c",
        "steps": 4,
        "nfe": 7,
    }
    return pd.DataFrame([fixed | {"objective": o, "seed": s, "value": v} for (o, s), v in values.items()])


@pytest.mark.parametrize(
    ("td", "verdict"),
    [
        ([1.0, 1.1, 0.9], "better"),
        ([3.0, 3.1, 2.9], "worse"),
        ([1.0, 3.0, 2.1], "undecided"),
        ([2.0, 2.0, 2.0], "undecided"),
        ([1.0, 1.0, 1.0], "better"),
        ([1.0], "undecided (one seed)"),
    ],
)
def test_a_single_row_is_decided_by_its_own_interval(td: list[float], verdict: str) -> None:
    sides = {"base": [2.0] * len(td), "td": td}
    frame = scores({(name, seed): v for name, values in sides.items() for seed, v in enumerate(values)})
    row = compare(frame, "base", ["td"]).iloc[0]
    assert row.verdict == verdict
    assert np.isnan(row.corrected_low) == (len(td) == 1)
    assert len(td) == 1 or (row.corrected_low, row.p_corrected) == pytest.approx((row.difference_low, row.p))


def table(differences: np.ndarray) -> pd.DataFrame:
    """Rows of a table from (cells, seeds) differences."""
    rows = [paired_difference(row, np.zeros_like(row)) for row in differences]
    frame = pd.DataFrame(rows).rename(columns={"mean": "difference", "std": "difference_std"})
    return frame.rename(columns={"low": "difference_low", "high": "difference_high"})


def test_a_difference_counts_less_among_many() -> None:
    rng = np.random.default_rng(0)
    lone = np.array([[-1.0, -1.25, -1.5]])  # p = 0.013
    others = rng.standard_normal((19, 3))
    assert decide(table(lone)).verdict.tolist() == ["better"]
    among = decide(table(np.concatenate([lone, others])))
    assert among.verdict[0] == "undecided" and among.p_corrected[0] > 0.05 > among.p[0]
    assert among.corrected_low[0] < among.difference_low[0]


@pytest.mark.slow
def test_the_corrected_interval_excludes_zero_where_the_corrected_p_says_so() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        found = decide(table(rng.standard_normal((10, 4)) + rng.choice([0, -2], (10, 1))))
        excludes = (found.corrected_high < 0) | (found.corrected_low > 0)
        assert (excludes == (found.p_corrected <= 0.05)).all()
        assert (excludes == found.verdict.isin(["better", "worse"])).all()


def test_of_a_row_without_spread_nothing_is_estimated() -> None:
    found = decide(table(np.array([[1.0], [2.0]])))
    assert found[["p_corrected", "corrected_low", "seeds_needed"]].isna().all(axis=None)


DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails": lambda rng, shape: rng.standard_t(5, shape),
    "differences of skewed scores": lambda rng, shape: rng.lognormal(0, 0.4, shape) - rng.lognormal(0, 0.4, shape),
}


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("name", DRAWS)
def test_intervals_cover_the_truth_as_often_as_they_say(name: str, seeds: int) -> None:
    """Simulated: between 92 and 98 % of the 95 % intervals hold the true difference."""
    draws = DRAWS[name](np.random.default_rng(2), (4000, seeds)) + 3.0
    found = [paired_difference(row, np.zeros(seeds)) for row in draws]
    coverage = np.mean([f.low <= 3.0 <= f.high for f in found])
    assert 0.92 <= coverage <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
def test_without_a_difference_few_tables_claim_one(name: str) -> None:
    """Simulated: tables of 19 rows with no difference, rows of neighbouring budgets alike as they are in truth."""
    rng, tables, claimed, better = np.random.default_rng(3), 1000, 0, 0
    for _ in range(tables):
        common = np.repeat(DRAWS[name](rng, (7, 3)), 3, axis=0)[:19]
        verdicts = decide(table(common + DRAWS[name](rng, (19, 3)))).verdict
        claimed += verdicts.isin(["better", "worse"]).any()
        better += (verdicts == "better").any()
    assert better / tables < 0.05 and claimed / tables < 0.065  # 5 % and two standard errors


def no_difference(rng: np.random.Generator, equal_passes: bool) -> pd.DataFrame:
    """Scores of an objective without an effect: drawn like those of the baseline that it is compared with.

    The longer baseline continues the shorter one, so its scores are like those, and lower.
    """
    rows = []
    for formulation in "abcdef":
        level = rng.uniform(5, 100)
        for seed in range(3):
            short = rng.normal(0, 0.1)
            longer = 0.8 * short + 0.6 * rng.normal(0, 0.1) - 0.1
            for objective, log in {
                "baseline": short,
                "baseline-longer": longer,
                "td": rng.normal(-0.1 if equal_passes else 0, 0.1),
            }.items():
                place = {"dataset": "d", "formulation": formulation, "objective": objective, "metric": "fid"}
                common = {"library": "clean-fid", "features": "classifier", "seed": seed, "run": objective}
                for steps in (4, 6, 9):
                    value = level * np.exp(log + rng.normal(0, 0.03)) * (1 + 1 / steps)
                    rows.append(place | common | {"steps": steps, "nfe": steps, "value": value})
    return pd.DataFrame(rows)


@pytest.mark.slow
@pytest.mark.parametrize("equal_passes", [False, True])
def test_without_a_difference_neither_comparison_says_better_often(equal_passes: bool) -> None:
    """Simulated: in at most 5 % of tables at equal images and at equal passes."""
    rng, tables, better = np.random.default_rng(6), 300, 0
    baselines = {("d", name, "td"): "baseline-longer" for name in "abcdef"} if equal_passes else None
    for _ in range(tables):
        found = compare(no_difference(rng, equal_passes), "baseline", ["td"], baselines)
        assert len(found) == 18 and (found.n == 3).all()
        better += (found.verdict == "better").any()
    assert better / tables <= 0.05


@pytest.mark.slow
def test_few_of_the_claims_are_false() -> None:
    """Simulated: half of the rows differ in truth; at most 5 % of what is called better or worse does not."""
    rng, true, false = np.random.default_rng(4), 0, 0
    shift = np.array([[-2.0]] * 10 + [[0.0]] * 10)
    for _ in range(500):
        claims = decide(table(rng.standard_normal((20, 5)) + shift)).verdict != "undecided"
        true, false = true + claims[:10].sum(), false + claims[10:].sum()
    assert true > 2000 and false / (true + false) < 0.05


def test_seeds_needed_decide_in_four_of_five_cases() -> None:
    assert seeds_needed(-1.0, 0.0) == 2 and np.isinf(seeds_needed(0.0, 0.0)) and np.isinf(seeds_needed(0.01, 1.0))
    assert np.isnan(seeds_needed(1.0, float("nan")))
    assert seeds_needed(1.0, 1.0, level=0.005) > seeds_needed(1.0, 1.0)
    rng, n = np.random.default_rng(5), int(seeds_needed(-0.7, 1.0))
    power = [stats.ttest_1samp(rng.standard_normal((4000, k)) - 0.7, 0, axis=1).pvalue < 0.05 for k in (n - 1, n)]
    assert power[0].mean() < 0.8 + 0.015 and power[1].mean() > 0.8 - 0.015


def test_pairs_are_formed_by_seed_and_lonely_seeds_left_out() -> None:
    frame = scores({("base", 0): 10, ("base", 1): 20, ("base", 2): 99, ("td", 1): 19, ("td", 0): 8})
    row = compare(frame, "base", ["td"]).iloc[0]
    assert (row.n, row.difference, row.baseline_mean, row.td_mean) == (2, -1.5, 15, 13.5)


def test_disagreement_is_shown() -> None:
    rows = [
        {
            "metric": "fid",
            "features": "c",
            "resize": "native",
            "run": "r",
            "snapshot_kimg": 1.0,
            "steps": s,
            "library": lib,
            "value": v,
        }
        for s, values in ((4, (2.0, 2.0)), (6, (1.0, 1.002)))
        for lib, v in zip(("a", "b"), values, strict=True)
    ]
    table = agreement(pd.DataFrame(rows))
    assert table["largest relative difference"].item() == pytest.approx(0.002 / 1.002)
    assert table["agree to 1e-3"].item() == "NO" and table["sample sets"].item() == 2
    assert agreement(pd.DataFrame(rows[:2])[lambda f: f.library == "a"]).empty


def test_different_features_are_not_set_against_each_other() -> None:
    """Each library's own Inception: another resize each."""
    fixed = {"metric": "fid", "features": "inception", "run": "r", "snapshot_kimg": 1.0, "steps": 4}
    own = [
        fixed | {"library": "a", "resize": "a's", "value": 2.0},
        fixed | {"library": "b", "resize": "b's", "value": 2.5},
    ]
    assert agreement(pd.DataFrame(own)).empty
    same = [fixed | {"library": name, "features": "c", "resize": "native", "value": 2.0} for name in ("a", "b")]
    assert agreement(pd.DataFrame(own + same)).features.tolist() == ["c"]


def test_numbers_as_people_read_them() -> None:
    assert str(spread(2.26479, 0.0312)) == "2.265 ± 0.031" and str(spread(1892.3, 171.2)) == "1892 ± 171"
    assert str(spread(3.5, float("nan"))) == "3.5"
    assert str(interval(-0.2, -1.25, 0.85)) == "-0.2 [-1.25, +0.85]"
    assert str(interval(0.5, float("nan"), float("nan"))) == "+0.5"
    assert str(number(0.000123, 2)) == "0.00012"


def test_latex_escapes_every_special_character_once() -> None:
    frame = pd.DataFrame({r"a_b": [r"50 % & {x} \ $y$ ± 1"]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tex"
        write_table([path], Table(frame, frame, "100 %"))
        text = path.read_text()
    assert r"50 \% \& \{x\} {\textbackslash} \$y\$ \ensuremath{\pm} 1" in text and r"a\_b" in text and r"100 \%" in text


def test_more_precision_is_better() -> None:
    """The same numbers: less of FID, and more of precision, is better."""
    rows = [
        {
            "dataset": "d",
            "formulation": "edm",
            "objective": objective,
            "metric": metric,
            "library": "torch-fidelity",
            "features": "f",
            "steps": 4,
            "nfe": 7,
            "seed": seed,
            "run": "r",
            "value": value + 0.001 * seed,
        }
        for metric in ("fid", "precision")
        for objective, value in (("baseline", 0.5), ("td", 0.4))
        for seed in range(4)
    ]
    found = compare(pd.DataFrame(rows), "baseline", ["td"]).set_index("metric").verdict
    assert found.to_dict() == {"fid": "better", "precision": "worse"}


@pytest.mark.slow
def test_bootstrap_intervals_cover_the_mean_of_many_seeds() -> None:
    """Simulated, skewed values: about 95 % with 60 seeds; with 3 far fewer, which is why no verdict rests on them."""
    rng = np.random.default_rng(0)
    shares = {}
    for n in (3, 60):
        found = bootstrap_intervals(list(rng.exponential(size=(1000, n))))
        shares[n] = ((found[:, 0] <= 1) & (found[:, 1] >= 1)).mean()
    assert 0.90 < shares[60] < 0.97 and shares[3] < 0.85


def test_bootstrap_intervals_of_different_numbers_of_seeds() -> None:
    found = bootstrap_intervals([np.array([1.0]), np.array([1.0, 3.0]), np.array([2.0, 2.0, 2.0])])
    assert np.isnan(found[0]).all() and found[1].tolist() == [1, 3] and found[2].tolist() == [2, 2]
