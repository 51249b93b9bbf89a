"""Commands that report, follow, compare and pack results."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tdbench.cli.arguments import Experiment, Results, check_finite, path_argument, path_option
from tdbench.runtime.advice import DEFAULT_RESULTS

app = typer.Typer()


class Part(StrEnum):
    """What `tdbench report` writes."""

    COMPARISON = "comparison"
    ABLATIONS = "ablations"
    PAGE = "page"
    ALL = "all"


@app.command()
def report(
    experiment: Experiment,
    part: Annotated[Part, typer.Option(help="What to write; the page needs the other two.")] = Part.ALL,
    results: Results = DEFAULT_RESULTS,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", help="A column of the LaTeX tables in place of a paper's; once for each."),
    ] = None,
) -> None:
    """Write tables, figures, scores.parquet and report.html."""
    from tdbench.experiment.load import load_plans
    from tdbench.records.report import PARTS
    from tdbench.reporting.findings import Findings
    from tdbench.reporting.latex import check_columns
    from tdbench.reporting.report import write_part

    known: list[str] = []
    for plan in load_plans(experiment):
        found = Findings(plan, results)
        for name in PARTS:
            if part in (name, Part.ALL):
                known += write_part(found, name, columns or [])
    check_columns(columns or [], known)


@app.command()
def track(experiment: Experiment, results: Results = DEFAULT_RESULTS) -> None:
    """Write all runs to MLflow: a SQLite file in the results, or the server of MLFLOW_TRACKING_URI."""
    from tdbench.experiment.load import load_plans
    from tdbench.reporting.tracking.track import track as track_plan

    for plan in load_plans(experiment):
        track_plan(plan, results)


@app.command()
def show(
    experiment: Experiment,
    paths: Annotated[bool, typer.Option("--paths", help="Print only the paths of what was made.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Print the comparison table and where the report lies."""
    from tdbench.experiment.load import load_plans
    from tdbench.reporting.show import made_files, printed_tables

    plans = load_plans(experiment)
    if not paths:
        typer.echo("\n\n".join(printed_tables(plan, results) for plan in plans))
    for plan in plans:
        for path in made_files(plan, results):
            typer.echo(str(path))


@app.command()
def status(
    results: Annotated[
        Path, path_argument("RESULTS", help="Folder of all results, or of one experiment's.")
    ] = DEFAULT_RESULTS,
    every_run: Annotated[bool, typer.Option("--all", help="A line a run, also for those done or waiting.")] = False,
    watch: Annotated[float | None, typer.Option(min=0.5, help="Show it again every so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object a line.")] = False,
) -> None:
    """Show the status of every run and the time left. It reads files only, also while runs are in progress."""
    from tdbench.reporting.status.table import show_status

    check_finite("--watch", watch)
    show_status(results, every_run, watch, as_json)


@app.command()
def compare(
    a: Annotated[Path, path_argument("A", help="Folder of results, or of one experiment in it.")],
    b: Annotated[Path, path_argument("B", help="The other one.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Relative difference of a seed's scores that counts as the same.")
    ] = 1e-3,
    every_cell: Annotated[bool, typer.Option("--all", help="A line a cell, also for those that are the same.")] = False,
) -> None:
    """Are two reproductions, on two machines or of two commits, the same? Exits 1 if not."""
    from tdbench.reporting.compare import compare_results

    check_finite("--tolerance", tolerance)
    text, same = compare_results(a, b, tolerance, every_cell)
    typer.echo(text)
    if not same:
        raise typer.Exit(1)


@app.command()
def export(
    experiment: Experiment,
    output: Annotated[
        Path | None,
        path_option("--output", "-o", help="A .zip, or a folder to write; NAME.crate.zip by default."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    with_weights: Annotated[bool, typer.Option("--with-weights", help="Also the weights that were sampled.")] = False,
    with_samples: Annotated[bool, typer.Option("--with-samples", help="Also the samples that were scored.")] = False,
    with_data: Annotated[bool, typer.Option("--with-data", help="Also the images, and their features.")] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the results: SPDX's identifier or an address.")
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Pack what is finished, without a report.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the zip, or the crate, that is there.")] = False,
) -> None:
    """Pack an experiment's results with their provenance as an RO-Crate, for others to check and repeat."""
    from tdbench.experiment.load import load_plan
    from tdbench.reporting.crate.export import export_crate
    from tdbench.reporting.crate.gather import DATA, SAMPLES, WEIGHTS

    chosen = {WEIGHTS: with_weights, SAMPLES: with_samples, DATA: with_data}
    options = frozenset(name for name, wanted in chosen.items() if wanted)
    plan = load_plan(experiment)
    made = output or Path(f"{plan.experiment.name}.crate.zip")
    for line in export_crate(plan, results, made, options, licence, unfinished, force):
        typer.echo(line)


@app.command()
def check_crate(
    crate: Annotated[Path, path_argument("CRATE", help="A crate: a zip or a folder.")],
) -> None:
    """Check an exported crate and say how to repeat it. Unpacks and runs nothing; exits with 1 on any fault."""
    from tdbench.reporting.crate.check import check_crate, checked_lines

    found = check_crate(crate)
    for line in checked_lines(crate, found):
        typer.echo(line)
    if found.faults:
        raise typer.Exit(1)
