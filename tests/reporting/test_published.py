"""Published figures: what the project holds, and how they stand beside ours."""

from pathlib import Path

import pandas as pd
import pytest

from tdbench.errors import TdbenchError
from tdbench.plan import Plan
from tdbench.reporting import published, store
from tdbench.reporting.collect import CELL


def test_figures_are_those_of_the_paper_with_their_source() -> None:
    main, ablation = (published.read_published(name) for name in ("main", "ablation"))
    assert len(main) == 9 * 2 and len(ablation) == 3 * 3
    assert main.source.str.contains("2606.15048").all() and (main.snapshots == "last 15 %").all()
    best = main[(main.dataset == "cifar10") & (main.steps == 18)].set_index("objective").value
    assert best.to_dict() == {"baseline": 2.170, "td": 2.129}
    # By the paper's account TD is below its baseline everywhere, and the constant weight above.
    wide = main.pivot(index=["dataset", "formulation", "steps"], columns="objective", values="value")
    assert (wide.td < wide.baseline).all()


def table(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored_as: str = "classifier", **row: object
) -> pd.DataFrame:
    """One published figure beside two seeds of ours, measured by two libraries."""
    figure = {
        "dataset": "digits", "resolution": 8, "network": "U-Net", "formulation": "edm", "objective": "td", "steps": 4,
        "metric": "fid", "features": "classifier", "images": 128, "snapshots": "last 25 %", "value": 2.5, "source": "x",
    } | row  # fmt: skip
    (tmp_path / "mine.csv").write_text(pd.DataFrame([figure])[published.COLUMNS].to_csv(index=False))
    monkeypatch.setattr(store, "PUBLISHED", tmp_path)
    ours = [
        dict(zip(CELL, ["digits", "edm", "td", "fid", library, scored_as, 4, 7], strict=True))
        | {"seed": seed, "run": f"r{seed}", "value": value + seed}
        for library, value in (("clean-fid", 3.0), ("torch-fidelity", 5.0))
        for seed in (0, 1)
    ]
    experiment = tiny.experiment.model_copy(update={"published": ("mine",)})
    return published.published_table(tiny.model_copy(update={"experiment": experiment}), pd.DataFrame(ours))


@pytest.mark.parametrize(
    ("row", "clean_fid", "result"),
    [
        # t = 12.7 with two seeds: ± 11.
        ({}, "3.5 ± 0.71 (n = 2)", "undecided (our interval: ±440 %)"),
        ({"value": 40}, "3.5 ± 0.71 (n = 2)", "not reproduced"),
        (
            {"value": 15},
            "3.5 ± 0.71 (n = 2)",
            "clean-fid: not reproduced; torch-fidelity: undecided (our interval: ±73 %)",
        ),
        ({"images": 50000}, "3.5 ± 0.71 (n = 2)", "not comparable: 128 images, not 50,000"),
        ({"features": "inception"}, "3.5 ± 0.71 (n = 2)", "not comparable: features classifier, not inception"),
        ({"snapshots": "best"}, "3.5 ± 0.71 (n = 2)", "not comparable: snapshots of the last 25 %, not best"),
        ({"steps": 9}, "—", "not measured here"),
        ({"formulation": "vp"}, "—", "not measured here"),
    ],
)
def test_beside_ours(
    row: dict[str, object], clean_fid: str, result: str, tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = table(tiny, tmp_path, monkeypatch, **row).to_dict("records")
    value = row.get("value", 2.5)
    assert (found["published"], found["clean-fid"], found["result"]) == (f"{value}", clean_fid, result)
    assert found["clean-fid, × published"] == ("—" if clean_fid == "—" else f"{3.5 / float(str(value)):.3f}")
    assert found["source"] == "x"


def test_weights_of_ones_own_are_not_set_against_published_figures(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = table(tiny, tmp_path, monkeypatch, "classifier-0123abcd").to_dict("records")
    assert found["result"] == "not comparable: features classifier-0123abcd"


@pytest.mark.parametrize(
    ("std", "n", "result"),
    [
        # t s sqrt(1 + 1/n) for three seeds: 4.303 * 0.01 * 1.155 = 0.0497, of 2.0 2.5 %
        (0.01, 3, "reproduced"),
        (0.001, 3, "not reproduced"),
        (0.03, 3, "undecided (our interval: ±7 %)"),
        (float("nan"), 1, "undecided (one seed)"),
    ],
)
def test_what_one_more_training_could_give_is_reproduced(std: float, n: int, result: str) -> None:
    assert published._result(2.0, {"mean": 2.04, "std": std, "n": n}) == result


def test_no_table_without_figures(tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published.published_table(tiny, pd.DataFrame()).empty
    assert table(tiny, tmp_path, monkeypatch, dataset="ffhq").empty  # not the experiment's


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("td,", ",", "line 2: objective is empty"), ("2.5", "low", "holds something that is not a number"),
        ("steps", "step", "expected dataset, resolution"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named(
    old: str, new: str, words: str, tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tiny, tmp_path, monkeypatch)
    path = tmp_path / "mine.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TdbenchError, match=words) as caught:
        published.read_published("mine")
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(TdbenchError, match="'other': no such file"):
        published.read_published("other")
