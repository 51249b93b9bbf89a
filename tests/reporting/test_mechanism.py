"""The mechanism in tables, in a sentence, on the page, and by `tdbench diagnose`."""

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tdbench.cli.main import app
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.mechanism import td_at_the_end
from tdbench.diffusion.objectives.td import TDSettings
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.reporting.collect import MECHANISM_COLUMNS
from tdbench.reporting.mechanism import balance, readable_mechanism, sentence, summarised
from tdbench.reporting.tables import outcome
from tests.reporting.conftest import MadePage


def rows(lag: float = 0.1, seeds: int = 2, **changes: list[float]) -> pd.DataFrame:
    """Two times with a quarter and three quarters of the training times."""
    columns: dict[str, list[float]] = {
        "index": [0.0, 1.0],
        "noise_level": [10.0, 1.0],
        "share": [0.25, 0.75],
        "valid": [1.0, 0.5],
        "variance": [0.6, 0.2],
        "correlation": [0.9, 0.8],
        "beta": [0.5, 0.5],
        "best_beta": [1.0, 1.0],
        "remaining": [0.2, 0.6],
        "size": [1.0, 1.0],
        "lag": [lag, lag],
        "noise_variance": [3.0, 3.0],
        "noise_mean": [0.1, 0.1],
        "noise_td_variance": [2.0, 2.0],
        "noise_td_mean": [0.1, -0.1],
    } | changes
    place = {"dataset": "digits", "formulation": "edm", "objective": "td", "batch_size": 50}
    parts = [pd.DataFrame(place | {"seed": seed, "run": f"r{seed}"} | columns, index=[0, 1]) for seed in range(seeds)]
    return pd.concat(parts)[MECHANISM_COLUMNS]


def test_the_balance_weighs_times_as_training_does() -> None:
    found = balance(summarised(rows()))
    # Both times have half of the variance: 0.25 x 0.6 and 0.75 x 0.2. Half of the later pairs are outside the grid.
    assert found.removed == pytest.approx(0.5 * 0.8 + 0.5 * 0.5 * 0.4)
    assert found.lag == pytest.approx(0.5 * 0.25 * 0.1 + 0.5 * 0.5 * 0.25 * 0.1)
    assert (found.low, found.high) == (1.0, 10.0)


def said(frame: pd.DataFrame) -> str:
    td = td_at_the_end(TDSettings().resolved(EDM()), 0.5)
    assert td is not None
    return sentence(summarised(frame), td, "ema 0.999")


def test_the_sentence_says_what_is_removed_and_what_the_lag_costs() -> None:
    text = said(rows(lag=0.1))
    assert "Half of the gradient's variance lies at noise levels σ/α from 1 to 10." in text
    assert "TD with λ = 0.5, k = 1, Δ = 0.25 removes 50 % of it." in text
    assert "Its target (ema 0.999) lags by 1.9 % of the variance." in text
    # 50 % of a single image's variance are 1 % of a batch of 50.
    assert "in a step 1 % are removed and 1.9 % added, so the lag costs more than is removed" in text


def test_a_target_that_hardly_lags_leaves_a_gain() -> None:
    assert "more is removed than the lag costs" in said(rows(lag=0.001))


def test_without_its_networks_the_lag_is_unknown() -> None:
    assert said(rows(lag=math.nan)).endswith("the training kept no target that follows like this one.")


def test_settings_that_add_variance_are_called_so() -> None:
    assert "adds 20 % of it" in said(rows(remaining=[1.2, 1.2], valid=[1.0, 1.0]))


def test_noise_whose_mean_is_lost_is_a_dash() -> None:
    table = summarised(rows())
    assert table.noise.tolist() == pytest.approx([30, 30])
    assert table.noise_td[0] == pytest.approx(20) and np.isnan(table.noise_td[1])
    shown = readable_mechanism(table)
    assert [str(cell) for cell in shown["gradient noise, TD"]] == ["20", "—"]
    assert [str(cell) for cell in shown["var(e − βe')/var(e)"]] == ["0.20 ± 0", "0.60 ± 0"]
    assert [str(cell) for cell in readable_mechanism(summarised(rows(seeds=1)))["var(e − βe')/var(e)"]] == [
        "0.20",
        "0.60",
    ]


def test_the_page_has_a_sentence_for_all_weights(made_page: MadePage) -> None:
    text = made_page.path.read_text(encoding="utf-8")
    section = text[text.index('<section id="mechanism">') : text.index('<section id="agreement">')]
    found = re.findall(r"<strong>([^<]*)</strong>", section)
    assert found == [f"digits, {name}, {side}" for name in ("ddpm", "vp", "ve", "edm") for side in ("baseline", "td")]
    assert section.count("Half of the gradient") == len(found) and section.count("is unknown") == len(found) // 2


def test_what_was_predicted_stands_beside_what_came_out(made_page: MadePage) -> None:
    text = made_page.path.read_text(encoding="utf-8")
    section = text[text.index('<section id="ablation-begin">') : text.index('<section id="ablation-coupling">')]
    assert "<strong>Predicted:</strong> The temporal difference removes noise, which matters late" in section
    came = section[section.index("Came out:") :]
    assert re.search(r"FID against the baseline, mean over step budgets: begin = 0: [+-]\d+\.\d % \(4 × ", came)
    assert "begin = 0.75: " in came


def test_the_outcome_of_an_ablation_is_the_mean_change_of_each_case() -> None:
    cells = [("baseline", 4, 10.0, np.nan, None), ("baseline", 9, 5.0, np.nan, None)]
    cells += [("λ = 1", 4, 9.0, -1.0, "better"), ("λ = 1", 9, 6.0, 1.0, "undecided")]
    table = pd.DataFrame(cells, columns=["case", "steps", "mean", "difference", "verdict"])
    table = table.assign(dataset="d", formulation="edm", metric="fid", library="clean-fid")
    assert outcome(table) == (
        "FID against the baseline, mean over step budgets: λ = 1: +5.0 % (1 × better, 1 × undecided)."
    )


def diagnosed(folder: Path, run: str, *options: str) -> str:
    arguments = [str(folder / "short.yaml"), run, "--results", str(folder / "results"), *options]
    done = CliRunner().invoke(app, ["diagnose", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edm-baseline-seed0", "edm-td-seed0"])
def test_diagnose_prints_what_the_workflow_measured(name: str, made: Path) -> None:
    text = diagnosed(made, name, "--times", "3", "--images", "32", "--batches", "2")
    assert f"digits/{name}: 0.32 kimg (5 steps), 32 images" in text
    table = pd.read_csv(made / "results" / "short" / "tables" / "mechanism.csv")
    assert len(table) == 6 and (table.n == 2).all() and table.lag.notna().all() and (table.lag > 0).all()
    lines = [line for line in text.splitlines() if line.startswith("| ") and "σ/α" not in line]
    assert len(lines) == 3
    assert re.search(r"TD with λ = 0\.5, k = 1, Δ = 0\.25 (removes|adds) [\d.]+ % of it", text)
    assert "Its target (ema 0.999) lags by" in text


@pytest.mark.slow
def test_diagnose_measures_at_noise_levels(made: Path) -> None:
    levels = ("--noise-level", "7.3", "--noise-level", "0.5")
    text = diagnosed(made, "edm-baseline-seed1", *levels, "--images", "16", "--batches", "0")
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:] == ["7.3", "0.5"]
    with pytest.raises(TdbenchError, match=r"edm-baseline-seed1: noise level 500: pairs of edm have 0\.0101 to 80"):
        diagnosed(made, "edm-baseline-seed1", "--noise-level", "500", "--images", "16")


@pytest.mark.slow
def test_changed_networks_are_refused(made: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    path = copy / "results" / "short" / "runs" / "digits" / "edm-td-seed0" / "networks.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TdbenchError, match=r"networks\.safetensors: sha256 .* changed since their training: run `tdb"):
        diagnosed(copy, "edm-td-seed0", "--images", "16", "--batches", "0")


def test_diagnose_refuses_what_it_cannot_do_in_one_line(made_page: MadePage, tmp_path: Path) -> None:
    from tdbench.experiment.evaluation import MechanismSettings
    from tdbench.reporting.diagnose import diagnosis

    plan = made_page.plan
    for name, why in {
        "ct-td-seed0": "digits/ct-td-seed0: the mechanism needs pairs of coupling markov",
        "edm-td-seed0": "no such file",
        "edm-tdd-seed0": "no run 'edm-tdd-seed0'",
    }.items():
        with pytest.raises(TdbenchError) as raised:
            diagnosis(plan, name, tmp_path, MechanismSettings(), [])
        assert why in str(raised.value) and "\n" not in str(raised.value)
    done = CliRunner().invoke(app, ["diagnose", "digits", "edm-td-seed0", "--batches", "1"])
    assert "batches: 1: one batch has no variance; give at least 2, or 0 to turn it off" in str(done.exception)


def test_a_baseline_without_a_td_is_asked_with_the_papers_settings() -> None:
    from tdbench.experiment.mechanism import mechanism_td_of

    run = load_plan("digits").run("edm-baseline-seed0")
    alone = mechanism_td_of(run, [run])
    assert alone is not None and alone == TDSettings(preset="paper").resolved(run.formulation)
    assert run.mechanism_td is not None and run.mechanism_td != alone
