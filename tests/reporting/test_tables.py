"""What the tables and the answer of an experiment with several formulations hold."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tdbench.diffusion.samplers import count_evaluations
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.reporting.answer import summary
from tdbench.reporting.cells import NOTHING
from tdbench.reporting.collect import scores_of_ablation
from tdbench.reporting.figures import fid_against_nfe
from tdbench.reporting.tables import ablation_table, comparison_table, readable_ablation
from tests.conftest import ROOT

BASELINE_FID, TD_FID = 10.0, 8.0


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan("digits")


def scores(plan: Plan) -> pd.DataFrame:
    """Scores of every run: those of TD 2 below the baseline's, give or take its seed, with edm only."""
    rows = []
    for run in plan.runs.values():
        treated = run.objective.kind != "baseline" and run.formulation_name == "edm"
        value = (TD_FID if treated else BASELINE_FID) + 0.1 * run.seed
        noise = 0.01 * run.seed if run.objective.kind != "baseline" else 0.0
        for steps in run.sampling.steps:
            nfe = count_evaluations(run.sampling.sampler, run.formulation, steps)
            rows.append(
                {
                    "dataset": run.dataset_name,
                    "formulation": run.formulation_name,
                    "seed": run.seed,
                    "objective": run.objective_name,
                    "metric": "fid",
                    "library": run.evaluation.libraries[0],
                    "run": run.name,
                    "features": "classifier",
                    "steps": steps,
                    "nfe": nfe,
                    "value": value + noise,
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def per_run(plan: Plan) -> pd.DataFrame:
    return scores(plan)


def changed(tmp_path: Path, **settings: Any) -> Plan:
    """The default experiment with other settings."""
    content = YAML(typ="safe", pure=True).load(ROOT / "workflow" / "experiments" / "digits.yaml")
    path = tmp_path / "changed.yaml"
    YAML().dump(content | settings, path)  # keeps the order
    return load_plan(str(path))


def test_every_formulation_is_compared_and_every_ablation_has_a_table(plan: Plan, per_run: pd.DataFrame) -> None:
    compared = comparison_table(plan, per_run)
    assert list(compared.formulation.unique()) == ["ddpm", "ddim", "vp", "ve", "edm", "ct"]
    assert set(plan.ablations) == {"weight", "weight-ct", "lambda", "stride", "span", "begin", "coupling", "target"}
    for name in plan.ablations:
        table = ablation_table(plan, name, scores_of_ablation(plan, name, per_run))
        assert set(table["case"]) == {"baseline", *(case.label for case in plan.ablations[name])}


def test_an_ablation_shows_only_the_formulations_that_it_varies(plan: Plan, per_run: pd.DataFrame) -> None:
    # The case λ = 0.5 is the comparison's own TD, which other formulations have too.
    assert "td" in {case.objective_name for case in plan.ablations["lambda"]}
    assert set(ablation_table(plan, "lambda", scores_of_ablation(plan, "lambda", per_run)).formulation) == {"edm"}
    assert set(scores_of_ablation(plan, "weight-ct", per_run).formulation) == {"ct"}
    readable = readable_ablation(ablation_table(plan, "lambda", scores_of_ablation(plan, "lambda", per_run)))
    assert not readable.isna().to_numpy().any()
    assert len(readable) == 1 + len(plan.ablations["lambda"])


def test_the_answer_counts_verdicts_over_all_and_by_formulation(plan: Plan, per_run: pd.DataFrame) -> None:
    headline, lines = summary(plan, comparison_table(plan, per_run), per_run)
    budgets = {run.formulation_name: len(run.sampling.steps) for run in plan.comparison}
    assert f"of {sum(budgets.values())} comparisons" in headline and "n = 3 seeds" in headline
    assert f"better in {budgets['edm']}" in headline
    assert len(lines) == len(budgets)
    (edm,) = (line for line in lines if ", edm," in line.text)
    assert f"better in {budgets['edm']} of {budgets['edm']} step budgets" in edm.text and "-1.9" in edm.differences
    # TD's FID is 8.1 to 8.2 where the baseline's is 10 to 10.2, and equal elsewhere.
    assert "edm, td: -20 % [" in edm.text and "changes the FID of its baseline by -4" in headline


def test_the_page_of_one_seed_claims_nothing(plan: Plan, per_run: pd.DataFrame) -> None:
    one = per_run[per_run.seed == 0]
    headline, _ = summary(plan, comparison_table(plan, one), one)
    assert "n = 1 seed;" in headline and "better in" not in headline and "worse in" not in headline
    assert "[" not in headline


def test_a_case_is_another_objective_where_the_presets_differ(tmp_path: Path) -> None:
    """DDPM's preset has the coupling markov and DDIM's has shared: ``td`` is the one case here, the other there."""
    vary = {"objective.coupling": ["markov", "shared"]}
    plan = changed(tmp_path, ablations={"coupling": {"base": "td", "formulations": ["ddpm", "ddim"], "vary": vary}})
    table = ablation_table(plan, "coupling", scores_of_ablation(plan, "coupling", scores(plan)))
    cases = table.drop_duplicates(["formulation", "case"]).set_index(["formulation", "case"]).objective
    assert cases["ddpm", "coupling = markov"] == cases["ddim", "coupling = shared"] == "td"
    assert cases["ddpm", "coupling = shared"] == "td-coupling-shared"
    assert cases["ddim", "coupling = markov"] == "td-coupling-markov"
    assert list(cases["ddim"].index) == ["baseline", "coupling = markov", "coupling = shared"]
    assert (table.verdict.isna() == (table["case"] == "baseline")).all() and len(readable_ablation(table)) == 2 * 3
    shown = scores_of_ablation(plan, "coupling", scores(plan))
    figure = fid_against_nfe(shown, {c: c for c in table["case"]}, "coupling")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "baseline (n = 3)",
        "coupling = markov (n = 3)",
        "coupling = shared (n = 3)",
    ]


def test_an_ablation_of_the_sampler_has_means_and_no_differences(tmp_path: Path) -> None:
    vary = {"sampling.sampler": ["euler", "ddim"]}
    plan = changed(tmp_path, ablations={"sampler": {"base": "td", "formulations": ["edm"], "vary": vary}})
    table = ablation_table(plan, "sampler", scores_of_ablation(plan, "sampler", scores(plan)))
    assert table["mean"].notna().all() and table.difference.isna().all()
    # Heun's budgets are others than Euler's.
    readable = readable_ablation(table)
    assert readable.set_index("case").loc["baseline", "4 steps (NFE 4)"] == NOTHING
    shown = scores_of_ablation(plan, "sampler", scores(plan))
    fid_against_nfe(shown, {c: c for c in table["case"]}, "sampler", comparable=False)


def test_formulations_scored_by_different_libraries_are_all_counted(tmp_path: Path) -> None:
    other = {"formulations": ["ve"], "set": {"evaluation.libraries": ["torch-fidelity"]}}
    plan = changed(tmp_path, overrides=[other], formulations={"edm": {}, "ve": {}}, ablations={})
    headline, lines = summary(plan, comparison_table(plan, scores(plan)), scores(plan))
    assert "clean-fid, torch-fidelity" in headline and len(lines) == 2
    figure = fid_against_nfe(scores(plan), {"baseline": "baseline", "td": "td"}, "libraries")
    assert len(figure.axes) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sampling.steps": [3, 5]}, "digits-edm: objective 'td': sampling.steps: [3, 5]: has nothing in common"),
        ({"sampling.sampler": "euler"}, "digits-edm: objective 'td': sampling.sampler: 'euler'"),
    ],
)
def test_what_could_not_be_compared_is_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(TdbenchError, match=re.escape(words)):
        changed(tmp_path, formulations={"edm": {}}, overrides=[{"objectives": ["td"], "set": settings}], ablations={})
