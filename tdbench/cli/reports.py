"""Commands that report, watch, compare and export results."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tdbench.cli.arguments import Experiment, Only, Results, check_finite, path_argument, path_option
from tdbench.runtime.advice import DEFAULT_RESULTS

app = typer.Typer()


class Part(StrEnum):
    """Parts of the report."""

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
        typer.Option("--columns", help="Column of the LaTeX tables, instead of the default ones; may be repeated."),
    ] = None,
    only: Only = None,
) -> None:
    """Write tables, figures, scores.parquet and report.html."""
    from tdbench.experiment.load import load_plans
    from tdbench.records.rows import PARTS
    from tdbench.reporting.findings import Findings
    from tdbench.reporting.latex import check_columns
    from tdbench.reporting.report import write_part

    known: list[str] = []
    for plan in load_plans(experiment, only):
        found = Findings(plan, results)
        for name in PARTS:
            if part in (name, Part.ALL):
                known += write_part(found, name, columns or [])
    check_columns(columns or [], known)


@app.command()
def track(experiment: Experiment, results: Results = DEFAULT_RESULTS, only: Only = None) -> None:
    """Write all runs to MLflow: a SQLite file in the results, or the server of MLFLOW_TRACKING_URI."""
    from tdbench.experiment.load import load_plans
    from tdbench.reporting.tracking.track import track as track_plan

    for plan in load_plans(experiment, only):
        track_plan(plan, results)


@app.command()
def show(
    experiment: Experiment,
    paths: Annotated[
        bool, typer.Option("--paths", help="Print only the paths of the files that were written.")
    ] = False,
    results: Results = DEFAULT_RESULTS,
    only: Only = None,
) -> None:
    """Print the comparison table and the path of the report."""
    from tdbench.experiment.load import load_plans
    from tdbench.reporting.show import made_files, printed_tables

    plans = load_plans(experiment, only)
    if not paths:
        typer.echo("\n\n".join(printed_tables(plan, results) for plan in plans))
    for plan in plans:
        for path in made_files(plan, results):
            typer.echo(str(path))


@app.command()
def diagnose(
    experiment: Experiment,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a trained run, such as edm-baseline-seed0.")],
    results: Results = DEFAULT_RESULTS,
    noise_level: Annotated[
        list[float] | None,
        typer.Option(min=1e-9, help="Noise level σ/α to measure at, instead of times of the grid; may be repeated."),
    ] = None,
    times: Annotated[int, typer.Option(min=2, max=1000, help="Times, spread evenly on the grid.")] = 12,
    images: Annotated[int, typer.Option(min=2, max=1_000_000, help="Images of the data, at most.")] = 1024,
    batches: Annotated[
        int, typer.Option(min=0, max=100_000, help="Batches for the gradient's noise, for small networks; 0: none.")
    ] = 8,
) -> None:
    """Show what TD does to the gradient of a trained run: where its variance is, what TD removes, what the lag costs.

    For a baseline the first TD objective of the experiment is asked about, or the paper's settings.
    """
    from pydantic import ValidationError

    from tdbench.errors import TdbenchError
    from tdbench.experiment.evaluation import MechanismSettings
    from tdbench.experiment.load import load_plan
    from tdbench.reporting.diagnose import diagnosis
    from tdbench.validation import explain

    for level in noise_level or ():
        check_finite("--noise-level", level)
    given = {"times": times, "images": images, "batches": batches}
    try:
        settings = MechanismSettings.model_validate(given)
    except ValidationError as error:
        raise TdbenchError(*explain("tdbench diagnose", given, error)) from error
    typer.echo(diagnosis(load_plan(experiment), run, results, settings, noise_level or []))


@app.command()
def status(
    results: Annotated[
        Path, path_argument("RESULTS", help="Results folder, or the folder of one experiment in it.")
    ] = DEFAULT_RESULTS,
    every_run: Annotated[
        bool, typer.Option("--all", help="Show one line per run, finished and waiting runs too.")
    ] = False,
    watch: Annotated[float | None, typer.Option(min=0.5, help="Refresh after this many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")] = False,
) -> None:
    """Show the status of every run and the time left. It only reads files, so it works at any time."""
    from tdbench.reporting.status.table import show_status

    check_finite("--watch", watch)
    show_status(results, every_run, watch, as_json)


@app.command()
def compare(
    a: Annotated[Path, path_argument("A", help="Results folder, or the folder of one experiment in it.")],
    b: Annotated[Path, path_argument("B", help="The folder to compare it with; reference: the project's results.")],
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference between scores of a seed that counts as equal.")
    ] = 1e-3,
    every_cell: Annotated[bool, typer.Option("--all", help="Show one line per cell, equal cells too.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Show one line per experiment.")] = False,
) -> None:
    """Check whether two reproductions, on two machines or of two commits, agree. Exits with 1 if not.

    `tdbench compare results reference` compares with the results that the project has of its experiments.
    """
    from tdbench.reporting.compare import compare_results

    check_finite("--tolerance", tolerance)
    text, same = compare_results(a, b, tolerance, every_cell, brief)
    typer.echo(text)
    if not same:
        raise typer.Exit(1)


@app.command()
def keep(
    experiment: Experiment,
    output: Annotated[
        Path | None, path_option("--output", "-o", help="Folder to write NAME into; results/reference by default.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    only: Only = None,
) -> None:
    """Keep the scores and tables of a finished experiment as reference results, small enough for a repository."""
    from tdbench.experiment.load import load_plan
    from tdbench.records.reference_results import REFERENCES
    from tdbench.reporting.reference_results import keep

    typer.echo(str(keep(load_plan(experiment, only), results, output or REFERENCES)))


@app.command()
def merge(
    experiment: Experiment,
    folders: Annotated[
        list[Path], path_argument("FOLDER...", help="Results folders of other machines, or of one experiment in them.")
    ],
    results: Results = DEFAULT_RESULTS,
    only: Only = None,
) -> None:
    """Put the runs that several machines made of an experiment into one results folder.

    Refuses runs of other settings, data, features, code or library versions.
    """
    from tdbench.experiment.load import load_plan
    from tdbench.workflow.merge import merge

    for line in merge(load_plan(experiment, only), folders, results):
        typer.echo(line)


@app.command()
def export(
    experiment: Experiment,
    output: Annotated[
        Path | None,
        path_option("--output", "-o", help="A .zip file or a folder to write; NAME.crate.zip by default."),
    ] = None,
    results: Results = DEFAULT_RESULTS,
    with_weights: Annotated[
        bool, typer.Option("--with-weights", help="Include the weights that were sampled.")
    ] = False,
    with_samples: Annotated[bool, typer.Option("--with-samples", help="Include the samples that were scored.")] = False,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Include the images of the data sets and their features.")
    ] = False,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the results: an SPDX identifier or a URL.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Export the finished runs only, without a report.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing zip or crate folder.")] = False,
    only: Only = None,
) -> None:
    """Export the results of an experiment with their provenance as an RO-Crate, for others to check and repeat."""
    from tdbench.experiment.load import load_plan
    from tdbench.reporting.crate.export import export_crate
    from tdbench.reporting.crate.gather import DATA, SAMPLES, WEIGHTS

    chosen = {WEIGHTS: with_weights, SAMPLES: with_samples, DATA: with_data}
    options = frozenset(name for name, wanted in chosen.items() if wanted)
    plan = load_plan(experiment, only)
    made = output or Path(f"{plan.experiment.name}.crate.zip")
    for line in export_crate(plan, results, made, options, licence, unfinished, force):
        typer.echo(line)


@app.command()
def check_crate(
    crate: Annotated[Path, path_argument("CRATE", help="An exported crate: a zip file or a folder.")],
) -> None:
    """Check an exported crate and print how to repeat it. Unpacks and runs nothing. Exits with 1 on any fault."""
    from tdbench.reporting.crate.check import check_crate, checked_lines

    found = check_crate(crate)
    for line in checked_lines(crate, found):
        typer.echo(line)
    if found.faults:
        raise typer.Exit(1)
