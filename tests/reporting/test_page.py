"""The page of experiments that lack what others have."""

from pathlib import Path
from typing import Any

import pytest

from tdbench.records import layout
from tdbench.reporting import collect, published
from tdbench.reporting.cost import cost_against_quality
from tdbench.reporting.figures import cost_against_quality as cost_figure
from tdbench.reporting.figures import fid_against_nfe
from tdbench.reporting.tables import comparison_table
from tests.reporting.conftest import make_page

SMALL = {"ablations": {}, "formulations": {"edm": {}}, "overrides": []}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seeds": [0]}, ["n = 1 seed;", "FID against NFE"]),
        (
            {"evaluation": {"metrics": ["precision"], "libraries": ["torch-fidelity"], "kid_subset_size": 100}},
            ["precision against NFE", "changes the precision of its baseline by", "higher is better"],
        ),
        (
            {"ablations": {"sampler": {"base": "td", "vary": {"sampling.sampler": ["euler", "ddim"]}}}},
            ["there is no comparison with it", "sampler = euler"],
        ),
    ],
    ids=["one seed", "another metric", "an ablation without a baseline"],
)
def test_pages_of_all_kinds_are_written(tmp_path: Path, settings: dict[str, Any], words: list[str]) -> None:
    page = make_page(tmp_path, **(SMALL | settings)).path.read_text()
    # Before the data of the charts, which holds any word.
    text = page[: page.index('<script type="application/json"')]
    assert [word for word in words if word not in text] == []


@pytest.mark.slow
def test_a_page_may_have_many_published_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of several papers, say: a table long enough to be searched, which has no column of libraries."""
    head = ",".join(published.COLUMNS)
    rows = [f"digits,,,,edm,td,{steps},fid,inception,,,,{steps},,paper {steps}" for steps in range(1, 21)]
    (tmp_path / "many.csv").write_text("\n".join([head, *rows]))
    monkeypatch.setattr(layout, "PUBLISHED", tmp_path)
    page = make_page(tmp_path, **(SMALL | {"published": ["many"]})).path.read_text()
    assert "paper 1<" in page and "paper 20<" in page


@pytest.mark.slow
def test_figures_of_a_metric_that_is_negative_have_no_logarithm_and_no_ratio(tmp_path: Path) -> None:
    evaluation = {"metrics": ["kid"], "kid_subset_size": 100}
    made = make_page(tmp_path, **(SMALL | {"evaluation": evaluation}))
    per_run = collect.mean_over_snapshots(made.scores)
    above, below = fid_against_nfe(per_run, {"baseline": "baseline", "td": "td"}, "KID").axes
    assert above.get_yscale() == "linear" and above.get_ylabel() == "KID on classifier features"
    assert below.get_ylabel() == "difference to\nbaseline"
    costs = cost_against_quality(
        made.plan, comparison_table(made.plan, per_run), made.scores.iloc[:0].assign(training_seconds=[], memory_mb=[])
    )
    assert costs.empty
    cost_figure(costs, "nothing to show")
