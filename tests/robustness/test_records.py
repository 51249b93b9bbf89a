"""Damaged results: what stages wrote as JSON and JSON lines, read by reports and by `tdbench status`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdbench.evaluation.classifier import load_classifier
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import RunLayout
from tdbench.records.report import TABLES
from tdbench.records.stored import Records
from tdbench.reporting import collect
from tdbench.reporting.findings import Findings
from tdbench.reporting.page import history
from tdbench.reporting.status.table import show_status
from tdbench.runtime.provenance import provenance
from tests.conftest import TINY
from tests.robustness.damage import bad_json, damaged, written
from tests.robustness.results import LINE, log, write_results
from tests.robustness.tally import inputs, judge


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """One seed, so that two runs are all."""
    path = tmp_path_factory.mktemp("plan") / "small.yaml"
    text = TINY.read_text().replace("seeds: [0, 1]", "seeds: [0]").partition("ablations:")[0]
    path.write_text(text.replace("name: tiny", "name: small"))
    return load_plan(str(path))


@pytest.fixture
def layout(plan: Plan, tmp_path: Path) -> RunLayout:
    write_results(plan, tmp_path)
    return RunLayout(tmp_path, plan.run("edm-td-seed0"))


def report(plan: Plan, results: Path) -> None:
    """All that a report makes of records, but for its pictures, and for the data set, which is not there."""
    found = Findings(plan, results)
    # First, so that what is refused there costs no other table.
    assert len(found.residuals) and len(found.consistency) and len(found.mechanism)
    for row in TABLES:
        for one in row.of(plan):
            if row.name not in ("data", "published"):
                found.table(one.name)
    assert len(found.curves) and history.span(found) is not None


def test_the_records_that_are_damaged_are_good(plan: Plan, layout: RunLayout, tmp_path: Path) -> None:
    report(plan, tmp_path)
    assert Records(tmp_path).of(plan.run("edm-td-seed0")).scored.nearest.samples == 128


FILES = ["settings", "snapshots", "samples", "scores", "consistency", "mechanism"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_records_of_a_run(name: str, plan: Plan, layout: RunLayout, tmp_path: Path, little_memory: None) -> None:
    path: Path = getattr(layout, name)
    good = json.loads(path.read_text())

    @inputs(300)
    @given(bad_json(good))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge(path.name, layout.folder, lambda: report(plan, tmp_path))

    check()


def lines_of(good: list[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Lines of JSON, some of them bad, or the whole cut and flipped."""
    whole = b"".join(written(line) + b"\n" for line in good)
    one = st.one_of(bad_json(good[-1]), st.sampled_from([b"", b"\n", b"null", b"[]", b"\xff\xfe", b"{}"]))
    some = st.tuples(st.integers(0, len(good)), one)
    placed = some.map(
        lambda found: b"\n".join([*map(written, good[: found[0]]), found[1], *map(written, good[found[0] :])])
    )
    return st.one_of(damaged(whole), placed)


@pytest.mark.slow
def test_metrics(plan: Plan, layout: RunLayout, tmp_path: Path, little_memory: None) -> None:
    @inputs(400)
    @given(lines_of([LINE | {"step": step} for step in (20, 40, 60)]))
    def check(content: bytes) -> None:
        layout.metrics.write_bytes(content)
        judge("metrics.jsonl", layout.metrics, lambda: collect.collect_curves(plan.runs.values(), Records(tmp_path)))

    check()


def seen(results: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> Callable[[], None]:
    """`tdbench status` in all its forms: it never refuses what others may just be writing, and obeys no escapes."""

    def look() -> None:
        for every_run, as_json in ((False, False), (True, False), (True, True)):
            show_status(results, every_run, None, as_json)
            said = capsys.readouterr().out
            assert said and all(line.isprintable() for line in said.splitlines()), said
        found = Findings(plan, results)
        history.failures(found)
        history.stage_times(found)

    return look


@pytest.mark.slow
@pytest.mark.parametrize("finished", [True, False])
def test_progress(
    finished: bool,
    plan: Plan,
    layout: RunLayout,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    little_memory: None,
) -> None:
    """Also of a run that has nothing else, so that its log alone is what is gone by."""
    if not finished:
        for path in (layout.snapshots, layout.samples, layout.scores):
            path.unlink()

    @inputs(300)
    @given(lines_of(log()[: 6 if finished else 3]))
    def check(content: bytes) -> None:
        layout.progress.write_bytes(content)
        judge("progress.jsonl", layout.folder, seen(tmp_path, plan, capsys))

    check()


@pytest.mark.slow
def test_plans(
    plan: Plan, layout: RunLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str], little_memory: None
) -> None:
    path = tmp_path / "small" / "plan.json"
    good = json.loads(path.read_text())
    layout.scores.unlink()
    layout.progress.write_text(json.dumps(log()[2]) + "\n")

    @inputs(300)
    @given(bad_json(good))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("plan.json", path, seen(tmp_path, plan, capsys))

    check()


@pytest.mark.slow
def test_records_seen_by_status(
    plan: Plan, layout: RunLayout, tmp_path: Path, capsys: pytest.CaptureFixture[str], little_memory: None
) -> None:
    """Of a results folder that has lost its plan."""
    (tmp_path / "small" / "plan.json").unlink()
    good = {name: json.loads(getattr(layout, name).read_text()) for name in FILES[:4]}

    @inputs(200)
    @given(st.sampled_from(FILES[:4]).flatmap(lambda name: st.tuples(st.just(name), bad_json(good[name]))))
    def check(found: tuple[str, bytes]) -> None:
        path: Path = getattr(layout, found[0])
        path.write_bytes(found[1])
        judge("records, by status", path, seen(tmp_path, plan, capsys))
        path.write_bytes(written(good[found[0]]))

    check()


CLASSIFIER = {
    "test_accuracy": 0.99,
    "test_images": 360,
    "channels": 1,
    "classes": 10,
    "sha256": "a" * 64,
    "provenance": provenance().to_json(),
}


def test_reports_of_classifiers(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "classifier.json"

    @inputs(150)
    @given(bad_json(CLASSIFIER))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("classifier.json", tmp_path, lambda: load_classifier(tmp_path / "classifier.safetensors", path))

    check()
