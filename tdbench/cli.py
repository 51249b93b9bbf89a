"""The command line: one command a stage. Each rule of the workflow is one of these commands."""

import gc
import io
import math
import os
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tdbench.advice import DEFAULT_RESULTS
from tdbench.arguments import dataset_argument, path_argument, path_option
from tdbench.errors import Stopped, TdbenchError, printable
from tdbench.progress import say
from tdbench.ranks import process_count, rank
from tdbench.signals import end_on_sigterm

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does temporal-difference training improve a diffusion model, by how much, at what cost?",
)

Experiment = Annotated[
    str, typer.Argument(help="Name of an experiment in workflow/experiments, or a path to a YAML file.")
]
RunNames = Annotated[
    list[str], typer.Argument(help="Names of runs, such as edm-td-seed0; `tdbench plan` lists them.", metavar="RUN...")
]
KeepFinished = Annotated[
    bool, typer.Option("--keep-finished", help="Leave runs alone that are done with the same settings, input and code.")
]
Marker = Annotated[Path | None, path_option("--marker", help="File to write once all is done; Snakemake's.")]
Results = Annotated[Path, path_option("--results", help="Folder of all results.")]
DatasetName = Annotated[str, dataset_argument()]
Processes = Annotated[
    int,
    typer.Option(
        "--processes", min=0, max=4096, help="Processes of a run, with a GPU each where there are any; 0: no GPU."
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, max=4096, help="CPU threads.")]
SAY_AFTER_S = 5.0


class Part(StrEnum):
    """What `tdbench report` writes."""

    COMPARISON = "comparison"
    ABLATIONS = "ablations"
    PAGE = "page"
    ALL = "all"


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="digits, cifar10, folder, ffhq, afhqv2 or archive.")],
    output: Annotated[Path, path_option("--output", "-o", help="Archive to write.")] = Path("archive.zip"),
    path: Annotated[Path | None, path_option("--path", help="Where the source reads from.")] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Size to resize to, for folder, ffhq, afhqv2, pixels a side.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="Python file or entry point that brings the source.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="Refuse images of a size that this network cannot work on.")
    ] = None,
) -> None:
    """Write a data set as an archive in EDM's format, with a summary (checksum, size, classes) beside it."""
    from tdbench.data.archive import read_archive, summary_file, write_archive
    from tdbench.data.sources import read_source
    from tdbench.data.state import KEY, source_state
    from tdbench.files import regular_target, write_json
    from tdbench.plugins import load_plugins

    if network:
        from tdbench.networks import check_fit
    for file in (output, summary_file(output)):
        regular_target(file)
    load_plugins(plugin or [], Path("--plugin"))
    # Before they are read: what changes meanwhile is a change.
    state = None if path is None else source_state(path)
    found = read_source(source, path, resolution)
    if network:
        check_fit(network, source, found.images.shape[2])
    write_archive(output, *found)
    made = read_archive(output)
    write_json(summary_file(output), made.summary() | ({} if state is None else {KEY: state}))
    typer.echo(made.describe())


@app.command()
def classifier(
    dataset: DatasetName,
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
) -> None:
    """Train the feature extractor `classifier` on a data set's labels, once."""
    from tdbench.data.archive import read_archive
    from tdbench.evaluation.classifier import train_classifier
    from tdbench.layout import DatasetLayout
    from tdbench.progress_log import ProgressLog

    files = DatasetLayout(results, dataset)
    data = read_archive(files.archive)
    with ProgressLog(files.progress, "classifier").noting_failure():
        accuracy = train_classifier(data, files.classifier, files.classifier_report, threads)
    typer.echo(f"classifier: {accuracy:.2%} of the held-out images right")


@app.command()
def weights(
    network: Annotated[
        str, typer.Argument(help="inception, which scores, or lpips, a distance of consistency training.")
    ] = "inception",
    library: Annotated[
        list[str] | None, typer.Option(help="Whose of inception: clean-fid or torch-fidelity. All, if left out.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Fetch the weights that libraries publish for networks which compare images, once for all results."""
    from tdbench.evaluation import PUBLISHERS
    from tdbench.evaluation.inception_weights import fetch_weights
    from tdbench.training import lpips_weights

    found = (
        lpips_weights.fetch_weights(library or [], results)
        if network == "lpips"
        else fetch_weights(network, library or PUBLISHERS.values(), results)
    )
    for path in found:
        typer.echo(str(path))


@app.command()
def reference(
    dataset: DatasetName,
    features: Annotated[str, typer.Option(help="Feature extractor.")] = "classifier",
    library: Annotated[list[str] | None, typer.Option(help="clean-fid and torch-fidelity, if left out.")] = None,
    weights: Annotated[
        Path | None,
        path_option("--weights", help="File of inception's weights in place of the published ones."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=2**20)] = 256,
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
) -> None:
    """Extract a data set's features with each library, once."""
    from tdbench.evaluation import DEFAULT_LIBRARIES, FEATURES, LIBRARIES, PUBLISHERS, check_libraries

    libraries = tuple(library or DEFAULT_LIBRARIES)
    if features not in FEATURES:
        raise TdbenchError(f"--features {features!r}: no such feature extractor; known: {', '.join(FEATURES)}")
    if unknown := [name for name in libraries if name not in LIBRARIES]:
        raise TdbenchError(f"--library {unknown[0]!r}: no such library; known: {', '.join(LIBRARIES)}")
    try:
        check_libraries(libraries, features)
    except ValueError as error:
        raise TdbenchError(f"--library: {error}") from error
    if weights is not None and features != "inception":
        raise TdbenchError(f"--weights {weights}: are for features inception, not {features!r}")
    from tdbench.data.archive import read_archive
    from tdbench.evaluation.scores import write_references
    from tdbench.layout import DatasetLayout
    from tdbench.progress_log import ProgressLog

    files = DatasetLayout(results, dataset)
    given = {} if weights is None else dict.fromkeys(PUBLISHERS.values(), weights)
    data = read_archive(files.archive)
    with ProgressLog(files.progress, "reference").noting_failure():
        write_references(data, features, batch_size, files, threads, libraries, given)


@app.command()
def train(
    experiment: Experiment,
    runs: RunNames,
    results: Results = DEFAULT_RESULTS,
    keep_finished: KeepFinished = False,
    marker: Marker = None,
    processes: Processes = 1,
) -> None:
    """Train runs: snapshots, metrics.jsonl and the resolved settings in run.json."""
    _stage("train", experiment, runs, results, keep_finished, marker, processes, gpus=processes)


@app.command()
def sample(
    experiment: Experiment,
    runs: RunNames,
    results: Results = DEFAULT_RESULTS,
    keep_finished: KeepFinished = False,
    marker: Marker = None,
    processes: Processes = 1,
) -> None:
    """Sample the last snapshots of trained runs at every step budget."""
    _stage("sample", experiment, runs, results, keep_finished, marker, processes, gpus=processes)


@app.command()
def evaluate(
    experiment: Experiment,
    runs: RunNames,
    results: Results = DEFAULT_RESULTS,
    keep_finished: KeepFinished = False,
    marker: Marker = None,
    processes: Processes = 1,
) -> None:
    """Score the samples of runs with each library."""
    # Scores are computed on the CPU.
    _stage("evaluate", experiment, runs, results, keep_finished, marker, processes, gpus=0)


def _stage(
    name: str, experiment: str, runs: list[str], results: Path, keep_finished: bool, marker: Path | None,
    processes: int, gpus: int,
) -> None:  # fmt: skip
    from tdbench.gpus import take_gpus

    # Before anything imports torch, hence before it is known what the experiment says.
    with take_gpus(gpus if process_count() == 1 else min(gpus, 1)):
        if processes > 1 and process_count() == 1:
            from tdbench.distributed import launch

            options = ["--keep-finished"] * keep_finished + (["--marker", str(marker)] if marker else [])
            launch(processes, [name, experiment, *runs, "--results", str(results), *options])
            return
        from tdbench.distributed import joined
        from tdbench.files import regular_target
        from tdbench.plan import load_plan
        from tdbench.reporting.outline import write_outline
        from tdbench.stages import do_stage

        if marker is not None:
            regular_target(marker)
        plan = load_plan(experiment)
        chosen = [plan.run(run) for run in runs]
        with joined() as world:
            if world.leader:
                write_outline(plan, results)
            do_stage(name, chosen, results, keep_finished, marker, world)


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
    from tdbench.plan import load_plans
    from tdbench.reporting.latex import check_columns
    from tdbench.reporting.report import write_ablations, write_comparison, write_report

    writers = {Part.COMPARISON: write_comparison, Part.ABLATIONS: write_ablations, Part.PAGE: write_report}
    known: list[str] = []
    for plan in load_plans(experiment):
        for name, write in writers.items():
            if part in (name, Part.ALL):
                known += write(plan, results, columns or [])
    check_columns(columns or [], known)


@app.command()
def track(experiment: Experiment, results: Results = DEFAULT_RESULTS) -> None:
    """Write all runs to MLflow: a SQLite file in the results, or the server of MLFLOW_TRACKING_URI."""
    from tdbench.plan import load_plans
    from tdbench.reporting.tracking.track import track as track_plan

    for plan in load_plans(experiment):
        track_plan(plan, results)


@app.command()
def validate(experiment: Experiment) -> None:
    """Check an experiment file; says what is wrong, file, key and value, a line for each mistake."""
    from tdbench.plan import load_plans

    for plan in load_plans(experiment):
        typer.echo(f"{plan.path}: valid, {len(plan.runs)} runs")
        for remark in (*plan.source_remarks(plan.experiment.datasets), *plan.score_remarks()):
            say(f"tdbench: warning: {remark}")


@app.command()
def plan(
    experiment: Experiment,
    tflops: Annotated[
        float | None, typer.Option(min=1e-6, help="What your GPU sustains in training, 1e12 operations a second.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure that on this machine first.")] = False,
    run: Annotated[str | None, typer.Option(help="Show all settings of this run instead, as JSON.")] = None,
    threads: Threads = 1,
) -> None:
    """Show what an experiment takes: runs, jobs, images, network evaluations, hours, disk.

    Hours are this machine's where it has no GPU and the network is small; else those of a GPU of the paper's machine.
    """
    from tdbench.budget import Throughput, describe_plans
    from tdbench.plan import load_plan, load_plans

    if run is not None:
        typer.echo(load_plan(experiment).run(run).model_dump_json(by_alias=True, indent=2))
        return
    _check_finite("--tflops", tflops)
    if measure and tflops is not None:
        raise TdbenchError("--tflops and --measure: give one of them")
    plans = load_plans(experiment)
    if tflops is not None:
        throughput = Throughput(tflops, "as given")
    else:
        from tdbench.throughput import measure_throughput, usual_throughput

        how = measure_throughput if measure else usual_throughput
        throughput = how((run.network.kind for p in plans for run in p.runs.values()), threads)
    typer.echo(describe_plans(plans, throughput))


@app.command()
def show(
    experiment: Experiment,
    paths: Annotated[bool, typer.Option("--paths", help="Print only the paths of what was made.")] = False,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Print the comparison table and where the report lies."""
    from tdbench.plan import load_plans
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
    """Show where every run stands and how long is left, from files alone: also while others work on them."""
    from tdbench.reporting.status_table import show_status

    _check_finite("--watch", watch)
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
    from tdbench.reporting.reproduction import compare_results

    _check_finite("--tolerance", tolerance)
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
    from tdbench.plan import load_plan
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
    """Is an exported crate whole, and how is it repeated? Unpacks and runs nothing; exits 1 on any fault."""
    from tdbench.reporting.crate.check import check_crate, checked_lines

    found = check_crate(crate)
    for line in checked_lines(crate, found):
        typer.echo(line)
    if found.faults:
        raise typer.Exit(1)


@app.command()
def verify(
    files: Annotated[list[Path], path_argument("FILES", help="npz files of reference vectors.")],
) -> None:
    """Check the TD objective against reference vectors; exits 1 on any miss."""
    from tdbench.verification import verify_file

    missed = 0
    for path in files:
        for case in verify_file(path):
            typer.echo(case.line())
            missed += not case.passed
    if missed:
        raise typer.Exit(1)


def _check_finite(option: str, value: float | None) -> None:
    """Refuse what Python takes for a number and no range excludes."""
    if value is not None and not math.isfinite(value):
        raise TdbenchError(f"{option} {value}: expected a finite number")


def main() -> Any:
    """Run the command line: mistakes of the user end in a line on standard error and exit code 2."""
    end_on_sigterm()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file's name may be bytes that are no text.
            stream.reconfigure(errors="backslashreplace")
    # Large libraries bring very many objects that stay; looking through them for garbage every 700 allocations takes a
    # sixth of the start of a job.
    gc.set_threshold(50_000)
    try:
        return app()
    except TdbenchError as error:
        if rank() > 0:
            # What is wrong for all of several processes is the first one's to say; then torchrun ends the others.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(SAY_AFTER_S)
        print(f"tdbench: error: {error}", file=sys.stderr)
    except Stopped as error:
        if rank() == 0:
            print(f"tdbench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe went away; keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        # A file that went away, a full disk, a permission: the operating system's words name it. Of two
        # files the second is the one written to.
        said = f"{error.filename2 or error.filename or 'file'}: {error.strerror or error}"
        print(f"tdbench: error: {printable(said)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("tdbench: interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    finally:
        # What comes now, while Python ends, has nothing more to put away.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.exit(2)
