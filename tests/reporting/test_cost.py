"""Cost against quality: ratios to the baseline."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tdbench.experiment.plan import Plan
from tdbench.reporting.cost import cost_against_quality, readable_cost_against_quality
from tdbench.reporting.figures import cost_against_quality as figure_of
from tdbench.reporting.figures import save_figure
from tdbench.reporting.tables import comparison_table

SECONDS, MEMORY = {"baseline": [10.0, 30.0], "td": [15.0, 35.0]}, {"baseline": 400.0, "td": 500.0}
FID = {"baseline": [20.0, 22.0], "td": [15.0, 18.0]}
KID = {"baseline": [0.1, 0.2], "td": [-0.3, 0.1]}


@pytest.fixture(scope="module")
def costs(tiny: Plan) -> pd.DataFrame:
    scores, runs = [], []
    for objective in FID:
        for seed in (0, 1):
            cell = {"dataset": "digits", "formulation": "edm", "objective": objective, "seed": seed}
            seconds = SECONDS[objective][seed]
            runs.append(cell | {"training_seconds": seconds, "memory_mb": MEMORY[objective]})
            for metric, values in (("fid", FID), ("kid", KID)):
                measured = {"metric": metric, "library": "clean-fid", "features": "classifier", "steps": 4, "nfe": 7}
                scores.append(cell | measured | {"value": values[objective][seed]})
    return cost_against_quality(tiny, comparison_table(tiny, pd.DataFrame(scores)), pd.DataFrame(runs))


def test_all_is_relative_to_the_baseline(costs: pd.DataFrame) -> None:
    (row,) = costs.to_dict("records")
    assert row["metric"] == "fid"  # a mean of KID is negative, which has no ratio
    assert row["quality"] == pytest.approx(16.5 / 21)
    differences = np.array([-5.0, -4.0])
    half = 12.706204736432095 * differences.std(ddof=1) / np.sqrt(2)  # Student's factor for one degree of freedom
    assert row["quality_low"] == pytest.approx(1 + (-4.5 - half) / 21)
    assert row["quality_high"] == pytest.approx(1 + (-4.5 + half) / 21)
    assert (row["time_ratio"], row["memory_ratio"]) == pytest.approx((25 / 20, 1.25))
    (read,) = readable_cost_against_quality(costs).to_dict("records")
    assert str(read["training time, × baseline"]) == "1.25"
    assert str(read["score, × baseline [95 %]"]).startswith("0.786 [0.483")


@pytest.mark.slow
def test_the_figure_has_a_panel_a_cost_and_all_formats(costs: pd.DataFrame, tmp_path: Path) -> None:
    figure = figure_of(costs, "Cost")
    assert [axis.get_xlabel() for axis in figure.axes] == ["training time, × baseline", "memory, × baseline"]
    files = [tmp_path / f"cost.{suffix}" for suffix in ("png", "svg", "pdf")]
    save_figure(figure, files)
    assert [path.read_bytes()[:4] for path in files] == [b"\x89PNG", b"<?xm", b"%PDF"]
    made = files[2].read_bytes()
    save_figure(figure_of(costs, "Cost"), files)
    assert files[2].read_bytes() == made
