"""Published figures: what the project holds, and how they stand beside ours."""

from pathlib import Path

import pandas as pd
import pytest

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import LIBRARIES
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.networks import NETWORKS
from tdbench.records import layout
from tdbench.reporting import published
from tdbench.reporting.cells import Cell
from tdbench.reporting.collect import CELL
from tdbench.reporting.published import Measured
from tests.conftest import ROOT

PAPER = "Temporal Difference Learning for Diffusion Models, ICML 2026, arXiv 2606.15048"
TWO = {"clean-fid": 3.0, "torch-fidelity": 5.0}
THREE = {"clean-fid": 3.0, "clean-fid-legacy-tensorflow": 5.0, "torch-fidelity": 5.0}


def test_figures_are_those_of_the_paper_with_their_source() -> None:
    main, ablation = (published.read_published(name) for name in ("main", "ablation"))
    paper = main[main.source == PAPER]
    assert len(paper) == 9 * 2 and len(ablation) == 3 * 3 and (ablation.source == PAPER).all()
    assert (paper.snapshots == "last 15 %").all() and (paper.images == 50000).all() and paper.value.notna().all()
    best = paper[(paper.dataset == "cifar10") & (paper.steps == 18)].set_index("objective").value
    assert best.to_dict() == {"baseline": 2.170, "td": 2.129}
    # By the paper's account TD is below its baseline everywhere, and the constant weight above.
    wide = paper.pivot(index=["dataset", "formulation", "steps"], columns="objective", values="value")
    assert (wide.td < wide.baseline).all()
    settings = {
        name: set(zip(rows.network, rows.learning_rate, strict=True)) for name, rows in paper.groupby("formulation")
    }
    assert settings == {"edm": {("ddpmpp", 2e-4)}, "ct": {("cm-unet", 1e-4)}}
    assert ablation.learning_rate.isna().all() and not set(ablation.network) & set(NETWORKS)


def test_what_others_say_of_these_figures_stands_beside_them() -> None:
    main = published.read_published("main")
    edm, notes = (main[main.source.str.contains(words)] for words in ("README", "Public notes"))
    (own,) = edm.to_dict("records")
    assert (own["dataset"], own["objective"], own["steps"], own["value"]) == ("cifar10", "baseline", 18, 1.79)
    assert own["snapshots"] == "minimum of three evaluations"
    assert list(zip(notes.dataset, notes.objective, notes.steps, strict=True)) == [
        ("afhqv2", "baseline", 12),
        ("afhqv2", "td", 12),
    ]
    assert notes.value.isna().all() and notes.note.str.startswith("TD slightly behind").all()


@pytest.mark.parametrize("path", sorted((ROOT / "results" / "published").glob("*.csv")), ids=lambda p: p.stem)
def test_every_resize_that_figures_name_is_one_of_a_library(path: Path) -> None:
    figures = published.read_figures(path)
    assert set(figures.resize.dropna()) <= {library.resize for library in LIBRARIES.values()}
    assert figures[figures.source == PAPER].resize.notna().all()


def table(
    tiny: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *figures: dict[str, object],
    scored_as: str = "classifier",
    scores: dict[str, float] = TWO,
) -> pd.DataFrame:
    """Published figures beside two seeds of ours, measured by some libraries."""
    figure = {
        "dataset": "digits",
        "resolution": 8,
        "network": "U-Net",
        "learning_rate": None,
        "formulation": "edm",
        "objective": "td",
        "steps": 4,
        "metric": "fid",
        "features": "classifier",
        "resize": None,
        "images": 128,
        "snapshots": "last 25 %",
        "value": 2.5,
        "note": None,
        "source": "x",
    }
    rows = pd.DataFrame([figure | changes for changes in figures or ({},)])
    (tmp_path / "mine.csv").write_text(rows[published.COLUMNS].to_csv(index=False))
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path)
    ours = [
        dict(zip(CELL, ["digits", "edm", "td", "fid", library, scored_as, 4, 7], strict=True))
        | {"seed": seed, "run": f"r{seed}", "value": value + seed}
        for library, value in scores.items()
        for seed in (0, 1)
    ]
    experiment = tiny.experiment.model_copy(update={"published": ("mine",)})
    found = published.published_table(tiny.model_copy(update={"experiment": experiment}), pd.DataFrame(ours))
    return found.map(lambda cell: str(cell) if isinstance(cell, Cell) else cell)


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
        ({"images": 50000}, "3.5 ± 0.71 (n = 2)", "not comparable (128 images, not 50,000)"),
        ({"images": None}, "3.5 ± 0.71 (n = 2)", "not comparable (number of images unknown)"),
        ({"features": "inception"}, "3.5 ± 0.71 (n = 2)", "not comparable (features classifier, not inception)"),
        ({"snapshots": "best"}, "3.5 ± 0.71 (n = 2)", "not comparable (snapshots last 25 %, not best)"),
        ({"snapshots": None}, "3.5 ± 0.71 (n = 2)", "not comparable (snapshots unknown)"),
        # A network that is one of ours by name, and one that is described; the run's is unet-tiny.
        ({"network": "ddpmpp"}, "3.5 ± 0.71 (n = 2)", "not comparable (network unet-tiny, not ddpmpp)"),
        ({"network": "unet-tiny"}, "3.5 ± 0.71 (n = 2)", "undecided (our interval: ±440 %)"),
        ({"network": None}, "3.5 ± 0.71 (n = 2)", "undecided (our interval: ±440 %)"),
        ({"learning_rate": 2e-3}, "3.5 ± 0.71 (n = 2)", "undecided (our interval: ±440 %)"),
        ({"learning_rate": 1e-4}, "3.5 ± 0.71 (n = 2)", "not comparable (learning rate 0.002, not 0.0001)"),
        # Features that have the same resize in all libraries.
        ({"resize": "another"}, "3.5 ± 0.71 (n = 2)", "undecided (our interval: ±440 %)"),
        ({"steps": 9}, "—", "not measured here"),
        ({"formulation": "vp"}, "—", "not measured here"),
    ],
)
def test_beside_ours(
    row: dict[str, object], clean_fid: str, result: str, tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = table(tiny, tmp_path, monkeypatch, row).to_dict("records")
    value = row.get("value", 2.5)
    assert (found["published"], found["clean-fid"], found["result"]) == (f"{value}", clean_fid, result)
    assert found["clean-fid, × published"] == ("—" if clean_fid == "—" else f"{3.5 / float(str(value)):.3f}")
    assert found["source"] == "x"


def test_weights_of_ones_own_are_not_set_against_published_figures(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = table(tiny, tmp_path, monkeypatch, scored_as="classifier-0123abcd").to_dict("records")
    assert found["result"] == "not comparable (features classifier-0123abcd, not classifier)"


@pytest.mark.parametrize(
    ("resize", "result"),
    [
        (
            "TensorFlow bilinear",
            "clean-fid: not comparable (resize); "
            "clean-fid-legacy-tensorflow, torch-fidelity: undecided (our interval: ±440 %)",
        ),
        (
            "antialiased bicubic",
            "clean-fid: undecided (our interval: ±440 %); "
            "clean-fid-legacy-tensorflow, torch-fidelity: not comparable (resize)",
        ),
        ("nearest", "not comparable (resize)"),
        (None, "not comparable (resize unknown)"),
    ],
)
def test_figures_on_inception_compare_only_where_the_resize_is_the_same(
    resize: str | None, result: str, tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row: dict[str, object] = {"features": "inception", "resize": resize}
    (found,) = table(tiny, tmp_path, monkeypatch, row, scored_as="inception", scores=THREE).to_dict("records")
    assert found["result"] == result and found["resize"] == (resize or "")


def test_a_library_of_a_later_version_has_an_unknown_resize(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = {"features": "inception", "resize": "antialiased bicubic"}
    found = table(tiny, tmp_path, monkeypatch, figure, scored_as="inception", scores={"clean-fid": 3.0, "later": 3.0})
    assert "later: not comparable (resize unknown)" in " ".join(map(str, found.iloc[0]))


def test_two_figures_of_the_same_budget_and_one_without_a_figure_are_rows(
    tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, object]] = [
        {"value": 40, "learning_rate": 2e-3},
        {"snapshots": "minimum of three evaluations", "note": "another's", "source": "y"},
        {"value": None, "note": "TD slightly behind", "images": None, "snapshots": None},
    ]
    found = table(tiny, tmp_path, monkeypatch, *rows)
    assert list(found["clean-fid"]) == ["3.5 ± 0.71 (n = 2)"] * 3 and list(found.published) == ["40", "2.5", "—"]
    assert list(found.result) == [
        "not reproduced",
        "not comparable (snapshots last 25 %, not minimum of three evaluations)",
        "no figure given",
    ]
    assert list(found.note) == ["", "another's", "TD slightly behind"] and list(found.source) == ["x", "y", "x"]
    assert list(found["learning rate"]) == [0.002, "", ""] and list(found["clean-fid, × published"])[2] == "—"


def test_the_papers_figures_compare_with_two_of_the_three_columns_of_its_experiments() -> None:
    """What is read off `cifar10` when all its scores are the published ones, to the digit."""
    plan = load_plan("cifar10")
    figures = published.read_published("main")
    figures = figures[(figures.source == PAPER) & (figures.dataset == "cifar10")]
    ours = [
        dict(zip(CELL, ["cifar10", "edm", objective, "fid", library, "inception", steps, 2 * steps - 1], strict=True))
        | {"seed": seed, "run": f"r{seed}", "value": value + 0.001 * seed}
        for objective, steps, value in zip(figures.objective, figures.steps, figures.value, strict=True)
        for library in plan.experiment.evaluation.libraries
        for seed in plan.experiment.seeds
    ]
    found = published.published_table(plan, pd.DataFrame(ours)).to_dict("records")
    same = "clean-fid: not comparable (resize); clean-fid-legacy-tensorflow, torch-fidelity: reproduced"
    other = "resize unknown; number of images unknown; snapshots last 15 %, not minimum of three evaluations"
    assert [row["result"] for row in found] == [same] * 4 + [f"not comparable ({other})"]


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
    assert published._result(2.0, Measured("d", "f", "o", 4, "fid", "l", "x", 2.04, std, n)) == result


def test_no_table_without_figures(tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert published.published_table(tiny, pd.DataFrame()).empty
    assert table(tiny, tmp_path, monkeypatch, {"dataset": "ffhq"}).empty  # not the experiment's


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("td,", ",", "line 2: objective is empty"),
        ("2.5", "low", "has a cell that is not a number"),
        ("steps", "step", "expected dataset, resolution"),
        # As the files were before they named the resize.
        (
            "network,learning_rate,formulation,objective,steps,metric,features,resize,",
            "network,formulation,objective,steps,metric,features,",
            "columns are dataset.* expected dataset, resolution, network, learning_rate, .* resize, .* note, source",
        ),
    ],
)
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
