"""What limits a verdict: trainings that still learn, and scores that a perfect sampler would have too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tdbench.cli.main import main
from tdbench.records.floor import Floor, Spread
from tdbench.reporting.answer import summary
from tdbench.reporting.learning import FLATTENED, LEARNING, UNKNOWN, States
from tdbench.reporting.limits import (
    SATURATED,
    STILL_LEARNING,
    WORSE_SO_FAR,
    enough_samples,
    limited,
    saturation_advice,
)
from tests.conftest import TINY
from tests.reporting.conftest import MadePage, MadeUp


def floor(normal: float, std: float, data: float | None = None, samples: int = 500) -> Floor:
    other = None if data is None else Spread(mean=data, std=std, draws=20)
    return Floor(
        library="clean-fid", samples=samples, images=1797, normal=Spread(mean=normal, std=std, draws=20), data=other
    )


@pytest.mark.parametrize(
    ("verdict", "saturated", "learning", "expected"),
    [
        ("better", False, False, "better"),
        ("worse", False, False, "worse"),
        ("undecided", False, False, "undecided"),
        ("better", False, True, STILL_LEARNING),
        ("worse", False, True, WORSE_SO_FAR),
        ("undecided", False, True, STILL_LEARNING),
        ("better", True, False, SATURATED),
        ("worse", True, True, SATURATED),
        ("undecided (one seed)", True, True, "undecided (one seed)"),
    ],
)
def test_a_verdict_is_limited(verdict: str, saturated: bool, learning: bool, expected: str) -> None:
    assert limited(verdict, saturated, learning) == expected


def test_the_larger_floor_counts() -> None:
    assert floor(2.6, 0.1).highest == pytest.approx(2.8)
    assert floor(2.6, 0.1, 3.5).highest == pytest.approx(3.7) and floor(2.6, 0.1, 3.5).mean == 3.5


def test_more_samples_help_if_there_is_an_excess() -> None:
    """The floor's spread falls as 1/N: half the excess needs twice the samples."""
    few = floor(2.6, 0.2)
    assert enough_samples(2.8, few) == pytest.approx(1000, abs=1)
    assert enough_samples(2.7, few) == pytest.approx(2000, abs=1)
    assert enough_samples(2.6, few) is None and enough_samples(2.5, few) is None
    assert enough_samples(2.6001, few) is None


def test_a_budget_is_judged_by_its_own_curve_and_without_one_by_the_least_flattened() -> None:
    rows = [
        ("d", "edm", "td", 4, FLATTENED),
        ("d", "edm", "td", 9, UNKNOWN),
        ("d", "edm", "td", 9, FLATTENED),
        ("d", "edm", "baseline", 9, LEARNING),
    ]
    found = States(pd.DataFrame(rows, columns=["dataset", "formulation", "objective", "steps", "status"]))
    td = ("d", "edm", "td")
    assert (found.of(td, 4), found.of(td, 9), found.of(td, 12)) == (FLATTENED, UNKNOWN, UNKNOWN)
    assert found.of(("d", "edm", "baseline"), 4) == LEARNING
    assert td in found and ("d", "vp", "td") not in found and found.of(("d", "vp", "td"), 4) == ""


@pytest.fixture(scope="module")
def found(made_page: MadePage) -> MadeUp:
    return MadeUp(made_page.plan, made_page.path.parents[1])


def test_only_flattened_trainings_are_better_or_worse(found: MadeUp) -> None:
    """EDM's made-up curves have flattened, the others fall as a power of 0.8."""
    table = found.table("comparison").numbers
    fid = table[table.metric == "fid"]
    others = fid[fid.formulation != "edm"]
    assert not others.verdict.isin(["better", "worse"]).any()
    assert (others[others.formulation == "vp"].verdict == WORSE_SO_FAR).all()
    assert set(fid[fid.formulation == "edm"].baseline_training) == {FLATTENED}
    assert (others.objective_training == LEARNING).all()
    assert table[table.metric == "kid"].floor.isna().all() and (fid.floor == 3.5).all()


def test_both_comparisons_are_in_the_answer(found: MadeUp) -> None:
    images, passes = (found.table(name).numbers for name in ("comparison", "comparison-equal-passes"))
    text, lines = summary(found.plan, images, found.per_run("comparison"), passes)
    assert text.startswith("At equal images TD changes the FID of its baseline by ") and "; at equal passes " in text
    assert "15 of 19 comparisons are of trainings that still learn after 25.6 kimg" in text
    assert "not about the method" in text
    assert all("at equal images" in line.text and "at equal passes" in line.text for line in lines)
    # Consistency training costs the same with TD: the same baseline in both.
    ct = [frame[frame.formulation == "ct"].difference.to_numpy() for frame in (images, passes)]
    assert np.array_equal(*ct)
    edm = [frame[frame.formulation == "edm"].baseline_mean.to_numpy() for frame in (images, passes)]
    assert not np.array_equal(*edm)


def test_passes_are_beside_the_scores(found: MadeUp) -> None:
    for name, ratio in {"comparison": 4 / 3, "comparison-equal-passes": 1.0}.items():
        table = found.table(name)
        edm = table.numbers[table.numbers.formulation == "edm"]
        assert edm.passes_ratio.to_numpy() == pytest.approx(ratio, rel=0.01)
        assert str(table.readable["passes, × baseline"].iloc[0]) == f"{table.numbers.passes_ratio.iloc[0]:.2f}"


def test_saturated_scores_decide_nothing_and_the_page_says_what_would(found: MadeUp) -> None:
    table = found.table("comparison").numbers
    low = table.assign(baseline_mean=3.7, td_mean=3.6, saturated=np.where(table.metric == "fid", "both", ""))
    (line,) = saturation_advice(found, low)
    assert line.startswith(f"digits: {(low.saturated == 'both').sum()} comparisons are saturated")
    assert "samples would tell" in line and "KID or FID∞" in line
    assert saturation_advice(found, table) == []


def test_an_ablation_is_limited_by_its_baseline(found: MadeUp) -> None:
    table = found.table("ablation-lambda").numbers
    assert table[table["case"] == "baseline"].verdict.isna().all()
    assert set(table.baseline_training) == {FLATTENED}
    ct = found.table("ablation-weight-ct").numbers
    assert not ct.verdict.dropna().isin(["better", "worse"]).any()


def test_validate_warns_of_few_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    text = TINY.read_text()
    for images, warned in ((128, True), (1280, False)):
        path = tmp_path / "few.yaml"
        path.write_text(text.replace("images: 128", f"images: {images}"))
        monkeypatch.setattr("sys.argv", ["tdbench", "validate", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err
        assert (
            not ended.value.code and ("sampling.images: 128: with so few samples and the 64 features" in said) == warned
        )
        assert ("about 1,280 samples" in said) == warned
