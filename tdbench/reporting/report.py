"""Writes the parts of a report: the comparison, the ablations, and the page with everything."""

from collections.abc import Sequence
from pkgutil import resolve_name

from tdbench.records.layout import RunLayout
from tdbench.records.report import FIGURES, TABLES
from tdbench.reporting.findings import Findings
from tdbench.reporting.tables import write_table
from tdbench.runtime.files import atomic_path, write_json
from tdbench.runtime.provenance import provenance


def write_part(found: Findings, part: str, columns: Sequence[str] = ()) -> list[str]:
    """Write the tables and figures of a part (`records.report`); ``page`` also writes scores, runs and report.html.

    Returns
    -------
    list of str
        The columns that can be chosen for the LaTeX tables.
    """
    known: list[str] = []
    for table in TABLES:
        if table.part == part and table.on_disk:
            for one in table.of(found.plan):
                known += write_table(found.layout.table(one.name), found.table(one.name), columns)
    for figure in FIGURES:
        if figure.part == part:
            for one in figure.of(found.plan):
                save_figure = resolve_name("tdbench.reporting.figures:save_figure")
                save_figure(resolve_name(figure.draw)(found, *one.about), found.layout.figure(one.name))
    if part == "page":
        _write_page(found)
    return known


def _write_page(found: Findings) -> None:
    """Write scores.parquet, scores.csv, runs.csv, report.html, and report.json with their provenance."""
    # Imported here because the charts of the page import slowly.
    from tdbench.reporting.page.html import write_html

    layout, scores, runs = found.layout, found.scores("all"), found.runs("all")
    with atomic_path(layout.scores_parquet) as temporary:
        scores.to_parquet(temporary, index=False)
    for path, frame in ((layout.scores_csv, scores), (layout.runs_csv, runs)):
        with atomic_path(path) as temporary:
            frame.to_csv(temporary, index=False)
    write_html(found)
    write_json(layout.record, {"provenance": provenance()})
    _delete_temporary(found)


def _delete_temporary(found: Findings) -> None:
    """Delete the weights that only the curves needed (`Curve.keep_snapshots`): all runs have been scored by now."""
    for run in found.plan.runs.values():
        for images in run.temporary_snapshots:
            RunLayout(found.results, run).snapshot(images).unlink(missing_ok=True)
