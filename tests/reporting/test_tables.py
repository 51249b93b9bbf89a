"""What the tables and the answer of an experiment with several formulations hold."""

import pandas as pd
import pytest

from tdbench.plan import Plan, load_plan
from tdbench.reporting.collect import scores_of_ablation
from tdbench.reporting.tables import ablation_table, comparison_table, readable_ablation
from tdbench.reporting.wording import summary

BASELINE_FID, TD_FID = 10.0, 8.0


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan("digits")


@pytest.fixture(scope="module")
def per_run(plan: Plan) -> pd.DataFrame:
    """Scores of every run of the default experiment: TD 2 below the baseline, give or take its seed, on edm only."""
    rows = []
    for run in plan.runs.values():
        treated = run.objective.kind != "baseline" and run.formulation_name == "edm"
        value = (TD_FID if treated else BASELINE_FID) + 0.1 * run.seed
        noise = 0.01 * run.seed if run.objective.kind != "baseline" else 0.0
        for steps in run.sampling.steps:
            rows.append(
                {
                    "dataset": run.dataset_name, "formulation": run.formulation_name, "seed": run.seed,
                    "objective": run.objective_name, "metric": "fid", "library": "clean-fid", "run": run.name,
                    "features": "classifier", "steps": steps, "nfe": steps, "value": value + noise,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_every_formulation_is_compared_and_every_ablation_has_a_table(plan: Plan, per_run: pd.DataFrame) -> None:
    compared = comparison_table(plan, per_run)
    assert list(compared.formulation.unique()) == ["ddpm", "ddim", "vp", "ve", "edm", "ct"]
    assert set(plan.ablations) == {"weight", "weight-ct", "lambda", "stride", "span", "coupling", "target"}
    for name in plan.ablations:
        table = ablation_table(plan, name, per_run)
        assert set(table["case"]) == {"baseline", *(case.label for case in plan.ablations[name])}


def test_an_ablation_shows_only_the_formulations_that_it_varies(plan: Plan, per_run: pd.DataFrame) -> None:
    # The case λ = 0.5 is the comparison's own TD, which other formulations have too.
    assert "td" in {case.objective_name for case in plan.ablations["lambda"]}
    assert set(ablation_table(plan, "lambda", per_run).formulation) == {"edm"}
    assert set(scores_of_ablation(plan, "weight-ct", per_run).formulation) == {"ct"}
    readable = readable_ablation(ablation_table(plan, "lambda", per_run))
    assert not readable.isna().to_numpy().any()
    assert len(readable) == 1 + len(plan.ablations["lambda"])


def test_the_answer_counts_verdicts_over_all_and_by_formulation(plan: Plan, per_run: pd.DataFrame) -> None:
    headline, lines = summary(comparison_table(plan, per_run))
    budgets = {run.formulation_name: len(run.sampling.steps) for run in plan.comparison}
    assert f"of {sum(budgets.values())} comparisons" in headline and "n = 3 seeds" in headline
    assert f"better in {budgets['edm']}" in headline
    assert len(lines) == len(budgets)
    (edm,) = (line for line in lines if ", edm," in line)
    assert f"better in {budgets['edm']} of {budgets['edm']} step budgets" in edm and "-1.9" in edm


def test_the_page_of_one_seed_claims_nothing(plan: Plan, per_run: pd.DataFrame) -> None:
    headline, _ = summary(comparison_table(plan, per_run[per_run.seed == 0]))
    assert "n = 1 seed)" in headline and "better" not in headline and "worse" not in headline
