"""Damaged tables: published figures, the scores of two reproductions, what `tdbench show` prints."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdbench.experiment.plan import Plan
from tdbench.records.layout import ReportLayout
from tdbench.records.reference_results import RECORD, SCORES
from tdbench.reporting import published, show
from tdbench.reporting.collect import CELL, mean_over_snapshots
from tdbench.reporting.compare import compare_results
from tdbench.reporting.findings import Table
from tdbench.reporting.tables import comparison_table, write_table
from tdbench.runtime.files import sha256
from tests.conftest import ROOT
from tests.reporting.test_reference_results import write_reference
from tests.robustness.damage import bad_json, damaged
from tests.robustness.tally import inputs, judge

CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            "",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "0",
            "-1",
            "1e308",
            "true",
            "2001-01-01",
            '"',
            "a,b",
            "\0",
            "\x1b[2J",
            "=1+1",
            "9" * 400,
            "fid",
            "edm",
            "0x10",
            "1_000",
            "12.5",
            "１２",
        ]
    ),
)


def scores(plan: Plan) -> pd.DataFrame:
    rows = [
        dict(
            zip(
                CELL,
                (run.dataset_name, "edm", run.objective_name, "fid", library, "classifier", steps, 2 * steps - 1),
                strict=True,
            )
        )
        | {
            "seed": run.seed,
            "run": run.name,
            "snapshot_kimg": 2.5,
            "value": 20.0 + steps + run.seed,
            "reference_data": "d" * 64,
        }
        for run in plan.comparison
        for library in run.evaluation.libraries
        for steps in run.sampling.steps
    ]
    return pd.DataFrame(rows)


def altered_cells(text: str) -> st.SearchStrategy[bytes]:
    """A CSV file in which some cells say something else."""
    lines = [line.split(",") for line in text.splitlines()]
    place = st.tuples(st.integers(0, len(lines) - 1), st.integers(0, len(lines[0]) - 1), CELLS)

    def change(changes: list[tuple[int, int, str]]) -> bytes:
        found = [list(line) for line in lines]
        for row, column, value in changes:
            found[row][min(column, len(found[row]) - 1)] = value
        return "\n".join(map(",".join, found)).encode("utf-8", "replace")

    return st.one_of(st.lists(place, min_size=1, max_size=4).map(change), damaged(text.encode()))


@pytest.mark.slow
def test_published_figures(tiny: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None) -> None:
    path = tmp_path / "mine.csv"
    good = "\n".join((ROOT / "results" / "published" / "main.csv").read_text().splitlines()[:4])
    good = good.replace("cifar10", "digits").replace(
        '"Temporal Difference Learning for Diffusion Models, ICML 2026', '"x'
    )
    monkeypatch.setattr(published, "published_file", lambda *_: path)
    plan = tiny.model_copy(update={"experiment": tiny.experiment.model_copy(update={"published": ("mine",)})})
    per_run = mean_over_snapshots(scores(tiny))

    @inputs(500)
    @given(altered_cells(good))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("published figures", path, lambda: published.published_table(plan, per_run))

    check()


@pytest.mark.slow
def test_scores_of_a_reproduction(tiny: Plan, tmp_path: Path, little_memory: None) -> None:
    good, bad = tmp_path / "good" / "scores.parquet", tmp_path / "bad" / "scores.parquet"
    for path in (good, bad):
        path.parent.mkdir()
        scores(tiny).to_parquet(path, index=False)

    @inputs(300)
    @given(damaged(good.read_bytes()))
    def check(content: bytes) -> None:
        bad.write_bytes(content)
        judge("scores.parquet, bytes", bad, lambda: compare_results(good.parent, bad.parent, 1e-3, True))

    check()


ODD = [
    None,
    float("nan"),
    float("inf"),
    1e308,
    -1,
    0,
    "",
    "x",
    10**18,
    2.5,
    True,
    b"x",
    pd.Timestamp(0),
    [1],
    "\x1b[2J",
]


@pytest.mark.slow
def test_columns_of_a_reproduction(tiny: Plan, tmp_path: Path, little_memory: None) -> None:
    good, bad = tmp_path / "good" / "scores.parquet", tmp_path / "bad" / "scores.parquet"
    table = scores(tiny)
    for path in (good, bad):
        path.parent.mkdir()
        table.to_parquet(path, index=False)

    @inputs(300)
    @given(st.sampled_from(list(table)), st.sampled_from(ODD), st.sampled_from(["all", "drop", "empty"]))
    def check(column: str, value: object, kind: str) -> None:
        changed = table.drop(columns=column) if kind == "drop" else table.assign(**{column: [value] * len(table)})
        (changed.iloc[:0] if kind == "empty" else changed).to_parquet(bad, index=False)
        judge("scores.parquet, columns", bad, lambda: compare_results(good.parent, bad.parent, 1e-3, True))

    check()


@pytest.mark.slow
def test_origins_of_a_reproduction(tiny: Plan, tmp_path: Path, little_memory: None) -> None:
    runs = pd.DataFrame({"git_commit": ["a" * 40] * 3, "torch": "2.11", "device": "cpu", "data": "d" * 64})
    scores(tiny).to_parquet(tmp_path / "scores.parquet", index=False)
    path = tmp_path / "runs.csv"

    @inputs(200)
    @given(altered_cells(runs.to_csv(index=False)))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("runs.csv", tmp_path, lambda: compare_results(tmp_path, tmp_path, 1e-3, False))

    check()


@pytest.mark.slow
def test_reference_results(tiny: Plan, tmp_path: Path, little_memory: None) -> None:
    """Their scores, with a checksum that fits as a forger would write it, and their record."""
    ours = tmp_path / "ours" / "digits" / "scores.parquet"
    ours.parent.mkdir(parents=True)
    scores(tiny).to_parquet(ours, index=False)
    folder = write_reference(tmp_path / "reference", scores(tiny)) / "digits"
    path, record = folder / SCORES, folder / RECORD
    good, facts = path.read_text(), json.loads(record.read_text())

    def compared() -> None:
        compare_results(ours.parent, folder, 1e-3, True)

    @inputs(200)
    @given(altered_cells(good))
    def check_scores(content: bytes) -> None:
        path.write_bytes(content)
        record.write_text(json.dumps(facts | {"files": {SCORES: sha256(path)}}))
        judge("reference results, scores", folder, compared)

    check_scores()
    path.write_text(good)

    @inputs(150)
    @given(bad_json(facts))
    def check_record(content: bytes) -> None:
        record.write_bytes(content)
        judge("reference.json", folder, compared)

    check_record()


@pytest.mark.slow
def test_what_is_shown(tiny: Plan, tmp_path: Path, little_memory: None) -> None:
    plan = tiny.model_copy(update={"ablations": {}})
    layout, table = ReportLayout(tmp_path, "tiny"), comparison_table(plan, mean_over_snapshots(scores(plan)))
    for name in ("comparison", "cost"):
        write_table(layout.table(name), Table(table, table, "caption"))
    agreed = pd.DataFrame({"metric": ["fid"], "largest relative difference": [1e-7]})
    write_table(layout.table("agreement"), Table(agreed, agreed, "caption"))
    scores(plan).to_parquet(layout.scores_parquet, index=False)
    path, text = layout.table("comparison")[0], io.StringIO()
    table.to_csv(text, index=False)

    @inputs(250)
    @given(altered_cells(text.getvalue()))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("tables, shown", layout.folder, lambda: show.printed_tables(plan, tmp_path))

    check()
