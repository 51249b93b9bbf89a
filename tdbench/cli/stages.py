"""Commands that do the work, one per stage; the rules of the workflow call them."""

from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated

import typer

from tdbench.cli.arguments import (
    DatasetName,
    Experiment,
    KeepFinished,
    Marker,
    Processes,
    Results,
    RunNames,
    Threads,
    path_option,
)
from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import DEFAULT_FEATURES
from tdbench.records.stages import STAGES
from tdbench.runtime.advice import DEFAULT_RESULTS
from tdbench.runtime.torchrun import process_count

app = typer.Typer()

PUBLISHED_NETWORKS = {
    "inception": "tdbench.evaluation.inception_weights:fetch_weights",
    "lpips": "tdbench.training.lpips_weights:fetch_weights",
}
"""Network with published weights -> function (libraries, results) that downloads them; no libraries means all."""


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="digits, patches, cifar10, folder, ffhq, afhqv2 or archive.")],
    output: Annotated[Path, path_option("--output", "-o", help="Archive to write.")] = Path("archive.zip"),
    path: Annotated[Path | None, path_option("--path", help="Folder or file that the source reads.")] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Resize to this many pixels per side; not for digits and patches.")
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="Python file or entry point that registers the source.")
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="Refuse images whose size this network does not support.")
    ] = None,
) -> None:
    """Write a data set as an archive in EDM's format, with a summary (checksum, size, classes) beside it."""
    from tdbench.data.archive import read_archive, summary_file, write_archive
    from tdbench.data.sources import read_source
    from tdbench.data.state import source_state
    from tdbench.experiment.plugins import load_plugins
    from tdbench.runtime.files import regular_target, write_json

    if network:
        from tdbench.networks import check_fit
    for file in (output, summary_file(output)):
        regular_target(file)
    load_plugins(plugin or [], Path("--plugin"))
    # Before the files are read, so that later checks notice changes made during the reading.
    state = None if path is None else source_state(path)
    found = read_source(source, path, resolution)
    if network:
        check_fit(network, source, found.images.shape[2])
    write_archive(output, *found)
    made = read_archive(output)
    summary = made.summary() if state is None else made.summary().model_copy(update={"source_state": state})
    write_json(summary_file(output), summary.to_json())
    typer.echo(made.describe())


@app.command()
def classifier(
    dataset: DatasetName,
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
) -> None:
    """Train the feature extractor `classifier` on the labels of a data set."""
    from tdbench.data.archive import read_archive
    from tdbench.evaluation.classifier import train_classifier
    from tdbench.records.layout import DatasetLayout
    from tdbench.runtime.progress_log import ProgressLog

    files = DatasetLayout(results, dataset)
    data = read_archive(files.archive)
    with ProgressLog(files.progress, "classifier").noting_failure():
        accuracy = train_classifier(data, files.classifier, files.classifier_report, threads)
    typer.echo(f"classifier: {accuracy:.2%} of the held-out images classified correctly")


@app.command()
def weights(
    network: Annotated[
        str, typer.Argument(help="inception (for scores) or lpips (a distance for consistency training).")
    ] = "inception",
    library: Annotated[
        list[str] | None, typer.Option(help="For inception: clean-fid or torch-fidelity; both by default.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
) -> None:
    """Download the published weights of a network that compares images into a cache, unless they are there."""
    if network not in PUBLISHED_NETWORKS:
        raise TdbenchError(f"weights {network!r}: no such network; known: {', '.join(PUBLISHED_NETWORKS)}")
    for path in resolve_name(PUBLISHED_NETWORKS[network])(library or [], results):
        typer.echo(str(path))


@app.command()
def reference(
    dataset: DatasetName,
    features: Annotated[str, typer.Option(help="Feature extractor.")] = DEFAULT_FEATURES,
    library: Annotated[
        list[str] | None, typer.Option(help="Library; may be repeated; clean-fid and torch-fidelity by default.")
    ] = None,
    weights: Annotated[
        Path | None,
        path_option("--weights", help="Your own file of Inception weights, instead of the published one."),
    ] = None,
    plugin: Annotated[
        list[str] | None, typer.Option(help="Python file or entry point that registers the extractor.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=2**20)] = 256,
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
) -> None:
    """Extract the features of a data set with each library."""
    from tdbench.experiment.extractors import (
        DEFAULT_LIBRARIES,
        EXTRACTORS,
        LIBRARIES,
        LIBRARY_SPECIFIC,
        PUBLISHERS,
        check_libraries,
    )
    from tdbench.experiment.plugins import load_plugins

    load_plugins(plugin or [], Path("--plugin"))
    libraries = tuple(library or DEFAULT_LIBRARIES)
    if features not in EXTRACTORS:
        raise TdbenchError(f"--features {features!r}: no such feature extractor; known: {', '.join(EXTRACTORS)}")
    if unknown := [name for name in libraries if name not in LIBRARIES]:
        raise TdbenchError(f"--library {unknown[0]!r}: no such library; known: {', '.join(LIBRARIES)}")
    try:
        check_libraries(libraries, features)
    except ValueError as error:
        raise TdbenchError(f"--library: {error}") from error
    if weights is not None and features not in LIBRARY_SPECIFIC:
        raise TdbenchError(
            f"--weights {weights}: only --features {LIBRARY_SPECIFIC[0]} takes weights, not {features!r}"
        )
    from tdbench.data.archive import read_archive
    from tdbench.evaluation.scores import write_references
    from tdbench.records.layout import DatasetLayout
    from tdbench.runtime.progress_log import ProgressLog

    files = DatasetLayout(results, dataset)
    given = {} if weights is None else dict.fromkeys(PUBLISHERS.values(), weights)
    data = read_archive(files.archive)
    with ProgressLog(files.progress, "reference").noting_failure():
        write_references(data, features, batch_size, files, threads, libraries, given)


@app.command()
def floor(
    dataset: DatasetName,
    samples: Annotated[int, typer.Option(min=2, max=100_000_000, help="Number of samples that are scored.")],
    features: Annotated[str, typer.Option(help="Feature extractor.")] = DEFAULT_FEATURES,
    library: Annotated[
        list[str] | None, typer.Option(help="Library; may be repeated; clean-fid and torch-fidelity by default.")
    ] = None,
    results: Results = DEFAULT_RESULTS,
    threads: Threads = 1,
) -> None:
    """Compute what FID a perfect sampler would have with as many samples, from the reference features."""
    from tdbench.experiment.extractors import DEFAULT_LIBRARIES, LIBRARIES

    libraries = tuple(library or DEFAULT_LIBRARIES)
    if unknown := [name for name in libraries if name not in LIBRARIES]:
        raise TdbenchError(f"--library {unknown[0]!r}: no such library; known: {', '.join(LIBRARIES)}")
    from tdbench.evaluation.floor import write_floors
    from tdbench.records.layout import DatasetLayout

    typer.echo(str(write_floors(DatasetLayout(results, dataset), features, libraries, samples, threads)))


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
    name: str,
    experiment: str,
    runs: list[str],
    results: Path,
    keep_finished: bool,
    marker: Path | None,
    processes: int,
    gpus: int,
) -> None:
    from tdbench.runtime.gpus import take_gpus

    # Before anything imports torch, and reading an experiment does.
    with take_gpus(gpus if process_count() == 1 else min(gpus, 1)):
        if processes > 1 and process_count() == 1:
            from tdbench.runtime.distributed import launch

            options = ["--keep-finished"] * keep_finished + (["--marker", str(marker)] if marker else [])
            launch(processes, [name, experiment, *runs, "--results", str(results), *options])
            return
        from tdbench.experiment.load import load_plan
        from tdbench.reporting.status.plan_file import write_plan_file
        from tdbench.runtime.distributed import joined
        from tdbench.runtime.files import regular_target
        from tdbench.workflow.stages import do_stage

        if marker is not None:
            regular_target(marker)
        plan = load_plan(experiment)
        chosen = [plan.run(run) for run in runs]
        if STAGES[name].shared:
            # The run that trains the weights of a run, if it is another one, trains them for as long as all need.
            chosen = list({run.weights_name: plan.runs[run.weights_name] for run in chosen}.values())
        with joined() as world:
            # Snakemake, which gives a marker, has written that of the part that it makes.
            if world.leader and marker is None:
                write_plan_file(plan, results)
            do_stage(name, chosen, results, keep_finished, marker, world)
