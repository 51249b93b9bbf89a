"""Reference results: read strictly, and compared with a part or with all of another reproduction."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from tdbench.cli.main import app
from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.records.reference_results import RECORD, SCORES, ReferenceResults, StageCost
from tdbench.reporting.reference_results import read_reference, reference_folder
from tdbench.runtime.device import Hardware
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.provenance import provenance
from tests.reporting.test_compare import scores, write

COLUMNS = ["dataset", "formulation", "objective", "seed", "metric", "library", "features", "steps", "nfe"]
CELLS = 12


def write_reference(folder: Path, frame: pd.DataFrame, name: str = "digits") -> Path:
    """Reference results with these scores, without further tables."""
    target = folder / name
    target.mkdir(parents=True)
    kept = frame.groupby(COLUMNS, sort=False)["value"].agg(snapshots="count", value="mean").reset_index()
    kept.to_csv(target / SCORES, index=False)
    record = ReferenceResults(
        experiment=name,
        commits=["c0ffee"],
        code_sha256=["0" * 64],
        versions={"torch": "2.11"},
        hardware=[Hardware(device="cpu", threads=1)],
        data={"digits": DataSummary(sha256="a1" * 32, images=10, resolution=8, channels=1, classes=0)},
        seeds=sorted(frame.seed.unique().tolist()),
        trainings=8,
        stages={"train": StageCost(seconds=1.0)},
        settings={},
        files={SCORES: sha256(target / SCORES)},
        provenance=provenance(),
    )
    write_json(target / RECORD, record)
    return folder


def made(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(reference_data="a1" * 32)


def compared(tmp_path: Path, ours: pd.DataFrame, *options: str) -> Result:
    a = write(tmp_path / "a", made(ours))
    b = write_reference(tmp_path / "reference", made(scores()))
    return CliRunner().invoke(app, ["compare", str(a), str(b), *options])


@pytest.mark.parametrize("seeds", [(0, 1, 2, 3), (2,)], ids=["all", "one seed"])
def test_equal_bits_are_reproduced_also_by_some_of_the_seeds(seeds: tuple[int, ...], tmp_path: Path) -> None:
    result = compared(tmp_path, scores(seeds), "--brief")
    assert result.exit_code == 0
    where = tmp_path / "reference" / "digits"
    assert result.output == (
        f"digits: reproduced: {CELLS} of {CELLS} cells equal, 0 the same within noise, 0 different "
        f"(commit c0ffee, {where})\n"
    )


def test_noise_and_differences_are_told_apart(tmp_path: Path) -> None:
    """Four seeds: one cell is shifted by far more than they spread, three by less, the others by rounding."""
    ours, rng = scores(), np.random.default_rng(1)
    ours["value"] *= 1 + 1e-6
    at4, fid = ours.steps == 4, ours.metric == "fid"
    ours.loc[at4 & (ours.metric == "kid"), "value"] += rng.standard_normal(int((at4 & ~fid).sum())) * 0.1
    shifted = (ours.steps == 6) & fid & (ours.objective == "td")
    ours.loc[shifted, "value"] += 50
    result = compared(tmp_path, ours, "--brief")
    assert result.exit_code == 1
    assert f"reproduced: {CELLS - 3} of {CELLS} cells equal, 2 the same within noise, 1 different" in result.output


def test_one_seed_with_other_scores_decides_nothing(tmp_path: Path) -> None:
    ours = scores((1,))
    ours["value"] += 1
    result = compared(tmp_path, ours, "--brief")
    assert result.exit_code == 1 and f"0 of {CELLS} cells equal" in result.output
    assert f"{CELLS} undecided (one seed)" in result.output


def test_what_is_not_made_is_counted_and_no_difference(tmp_path: Path) -> None:
    ours = scores()
    result = compared(tmp_path, ours[ours.steps < 9], "--brief")
    assert result.exit_code == 0 and f"{CELLS - 4} of {CELLS - 4} cells equal" in result.output
    assert "4 not made" in result.output


def test_other_libraries_of_a_metric_are_left_out_and_other_data_are_not_compared(tmp_path: Path) -> None:
    ours = pd.concat([scores(), scores().assign(library="torch-fidelity")])
    assert f"{CELLS} of {CELLS} cells equal" in compared(tmp_path, ours, "--brief").output
    frame = made(scores()).assign(reference_data="b2" * 32)
    a = write(tmp_path / "other", frame)
    result = CliRunner().invoke(app, ["compare", str(a), str(tmp_path / "reference"), "--brief"])
    assert result.exit_code == 1 and f"0 of {CELLS} cells equal" in result.output
    assert f"{CELLS} other data" in result.output


def test_the_whole_comparison_lists_cells_and_origins(tmp_path: Path) -> None:
    ours = scores()
    ours.loc[(ours.steps == 6) & (ours.metric == "fid"), "value"] += 50
    output = compared(tmp_path, ours).output
    assert "commit: c0ffee" in output and "B − A [95 %]" in output and "2 different" in output


def test_an_experiment_without_reference_results_is_named(tmp_path: Path) -> None:
    a = write(tmp_path / "a", made(scores()))
    b = write_reference(tmp_path / "reference", made(scores()), name="others")
    result = CliRunner().invoke(app, ["compare", str(a), str(b), "--brief"])
    assert result.exit_code == 0 and result.output == f"digits: no reference results; {b} has others\n"


def test_a_project_that_has_none_yet_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "results", made(scores()))
    (tmp_path / "results" / "reference" / "fid").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["compare", "results", "reference", "--brief"])
    assert result.exit_code == 0
    assert result.output == "digits: no reference results; results/reference has none\n"


def test_the_word_reference_means_those_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = reference_folder(Path("reference"))
    assert found.parts[-2:] == ("results", "reference") and found.is_dir()
    (tmp_path / "reference").mkdir()
    assert reference_folder(Path("reference")) == Path("reference")


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = write_reference(tmp_path, made(scores())) / "digits"
    read_reference(folder)
    (folder / SCORES).write_text((folder / SCORES).read_text().replace("edm", "vp", 1))
    with pytest.raises(TdbenchError, match=rf"{SCORES}: missing or changed since {RECORD} was written"):
        read_reference(folder)
    (folder / RECORD).write_text("{}")
    with pytest.raises(TdbenchError, match=f"{RECORD}: provenance: is missing"):
        read_reference(folder)
