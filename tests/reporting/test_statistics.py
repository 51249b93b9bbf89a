import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tdbench.reporting.statistics import agreement, compare, paired_difference
from tdbench.reporting.tables import interval, number, spread, write_table


def test_interval_is_that_of_the_paired_t_test() -> None:
    td, base = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 2.2, 4.9, 3.1])
    found = paired_difference(td, base)
    expected = stats.ttest_rel(td, base).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((td - base).mean()) and found.n == 4


@pytest.mark.parametrize(
    ("td", "verdict"),
    [
        ([1.0, 1.1, 0.9], "better"),
        ([3.0, 3.1, 2.9], "worse"),
        ([1.0, 3.0, 2.1], "undecided"),
        ([1.0], "undecided (one seed)"),
    ],
)
def test_a_claim_is_made_only_where_the_interval_excludes_zero(td: list[float], verdict: str) -> None:
    assert paired_difference(np.array(td), np.full(len(td), 2.0)).verdict == verdict


def scores(values: dict[tuple[str, int], float]) -> pd.DataFrame:
    fixed = {
        "dataset": "d", "formulation": "f", "metric": "fid", "library": "l", "features": "c", "steps": 4, "nfe": 7,
    }  # fmt: skip
    return pd.DataFrame([fixed | {"objective": o, "seed": s, "value": v} for (o, s), v in values.items()])


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
    assert spread(2.26479, 0.0312) == "2.265 ± 0.031" and spread(1892.3, 171.2) == "1892 ± 171"
    assert spread(3.5, float("nan")) == "3.5"
    assert interval(-0.2, -1.25, 0.85) == "-0.2 [-1.25, +0.85]" and interval(0.5, float("nan"), float("nan")) == "+0.5"
    assert number(0.000123, 2) == "0.00012"


def test_latex_escapes_every_special_character_once() -> None:
    frame = pd.DataFrame({r"a_b": [r"50 % & {x} \ $y$ ± 1"]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tex"
        write_table([path], frame, frame, "100 %")
        text = path.read_text()
    assert r"50 \% \& \{x\} \textbackslash{} \$y\$ $\pm$ 1" in text and r"a\_b" in text and r"100 \%" in text
