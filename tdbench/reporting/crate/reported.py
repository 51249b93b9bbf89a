"""Adds the report of an experiment to its crate, after checking that it shows the runs' current scores."""

from pathlib import Path

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.records.layout import ReportLayout, RunLayout
from tdbench.records.rows import PARTS
from tdbench.records.schema import Written, read_record
from tdbench.records.stored import Records
from tdbench.reporting.collect import collect_scores
from tdbench.reporting.compare import read_reproductions
from tdbench.reporting.crate.activities import reporting
from tdbench.reporting.crate.contents import Contents, keys_of
from tdbench.runtime import advice
from tdbench.runtime.progress_log import first_line

_COMPARED = ["run", "snapshot_kimg", "steps", "library", "metric", "samples", "value"]


def add_report(contents: Contents, plan: Plan, records: Records) -> None:
    """Add tables, figures, the page and the scores.

    Raises
    ------
    TdbenchError
        If a file is missing or damaged, or the scores are not those of the runs.
    """
    layout = ReportLayout(contents.results, plan.experiment.name)
    command = advice.command("report", *plan.arguments, results=contents.results)
    descriptions = {
        layout.scores_parquet: "Every score, in parquet",
        layout.scores_csv: "Every score: one row per library and metric",
        layout.runs_csv: "Every run: size, cost, losses, origin",
        layout.html: "The report, on one page",
    }
    names = [contents.add(path, what, command) for path, what in descriptions.items()]
    _check_scores(records, plan, layout, command)
    expected = [path for part in PARTS for path in (*layout.tables(part, plan), *layout.figures(part, plan))]
    for path in dict.fromkeys([*expected, *_others(layout)]):
        names.append(contents.add(path, f"{path.parent.name.capitalize()}: {path.stem}", command))
    if layout.record.is_file():
        names.append(contents.add(layout.record, "Code that wrote the report", command))
        scores = [contents.name(RunLayout(contents.results, run).scores) for run in plan.runs.values()]
        with keys_of(command):
            origin = read_record(layout.record, command, Written).provenance
            contents.activities.append(reporting(plan, origin, scores, names))


def _others(layout: ReportLayout) -> list[Path]:
    """Other files in tables/ and figures/, except those of former ablations."""
    files = [path for part in ("tables", "figures") for path in sorted((layout.folder / part).glob("[!.]*"))]
    return [path for path in files if path.is_file() and not path.name.startswith("ablation-")]


def _check_scores(records: Records, plan: Plan, layout: ReportLayout, command: str) -> None:
    collected = _rows(collect_scores(plan.runs.values(), records))
    stored = read_reproductions(layout.folder)[layout.folder.resolve().name].scores
    try:
        # Read as text, so that numbers are compared without rounding.
        csv = pd.read_csv(layout.scores_csv, dtype=str, keep_default_na=False)
        found = {layout.scores_parquet: _rows(stored), layout.scores_csv: _rows(csv)}
    except Exception as error:  # pandas raises many kinds of errors for invalid tables
        said = first_line(error)
        raise TdbenchError(f"{layout.scores_csv}: not a table of scores ({said}); run `{command}` again") from error
    for path, rows in found.items():
        if rows != collected:
            raise TdbenchError(f"{path}: not the scores that the runs have now; run `{command}` again")


def _rows(scores: pd.DataFrame) -> set[tuple[str, ...]]:
    return {tuple(map(str, row)) for row in scores[_COMPARED].itertuples(index=False)}
