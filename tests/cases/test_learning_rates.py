"""The documented example of a fair comparison of learning rates, and the table of an ablation around a baseline."""

from pathlib import Path

import pandas as pd
import yaml

from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.reporting.collect import labels_of_ablation, scores_of_ablation
from tdbench.reporting.tables import ablation_table, readable_ablation
from tests.conftest import ROOT, TINY


def test_baseline_and_td_have_the_same_rates_to_choose_from() -> None:
    plan = load_plan(str(ROOT / "docs" / "examples" / "learning_rates.yaml"))
    rates: dict[tuple[str, int], dict[str, float]] = {}
    for run in plan.comparison:
        assert run.trained_as is None
        rates.setdefault((run.formulation_name, run.seed), {})[run.objective_name] = run.training.learning_rate
    assert len(rates) == 9 and all(pair["baseline"] == pair["td"] for pair in rates.values())
    assert sorted({pair["td"] for pair in rates.values()}) == [1e-3, 2e-3, 4e-3]


def ablated(folder: Path, base: str, vary: dict[str, list[float]]) -> Plan:
    content = yaml.safe_load(TINY.read_text()) | {"ablations": {"rate": {"base": base, "vary": vary}}}
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return load_plan(str(folder / "e.yaml"))


def scores(plan: Plan) -> pd.DataFrame:
    """A score of each run at each budget."""
    rows = [
        {
            "dataset": run.dataset_name,
            "formulation": run.formulation_name,
            "objective": run.objective_name,
            "seed": run.seed,
            "run": run.name,
            "metric": "fid",
            "library": "clean-fid",
            "features": "classifier",
            "steps": steps,
            "nfe": steps,
            "value": 10.0 * run.training.learning_rate + run.seed,
            "snapshots": 1,
        }
        for run in plan.runs.values()
        for steps in run.sampling.steps
    ]
    return pd.DataFrame(rows)


def test_an_ablation_of_the_baseline_lists_it_once(tmp_path: Path) -> None:
    plan = ablated(tmp_path, "baseline", {"training.learning_rate": [1e-3, 2e-3, 4e-3]})
    assert labels_of_ablation(plan, "rate") == ["baseline", "learning_rate = 0.001", "learning_rate = 0.004"]
    table = ablation_table(plan, "rate", scores_of_ablation(plan, "rate", scores(plan)))
    assert list(readable_ablation(table)["case"]) == ["baseline", "learning_rate = 0.001", "learning_rate = 0.004"]
    # Its own row says what is varied too.
    assert set(table[table.case == "baseline"]["training.learning_rate"]) == {2e-3}


def test_one_around_td_has_the_baseline_and_every_case(tmp_path: Path) -> None:
    plan = ablated(tmp_path, "td", {"objective.lambda": [0.5, 2.0]})
    table = ablation_table(plan, "rate", scores_of_ablation(plan, "rate", scores(plan)))
    assert list(readable_ablation(table)["case"]) == ["baseline", "lambda = 0.5", "lambda = 2.0"]


def test_values_that_are_listed_twice_are_one_case(tmp_path: Path) -> None:
    plan = ablated(tmp_path, "td", {"objective.lambda": [0.5, 0.5]})
    assert labels_of_ablation(plan, "rate") == ["baseline", "lambda = 0.5"]
