"""``python -m benchmarks.scaling``: how long an experiment takes on 1 to 512 GPUs, simulated."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scaling.costs import costs_of
from benchmarks.scaling.figure import draw
from benchmarks.scaling.rates import Rates
from benchmarks.scaling.settings import CORES_A_GPU, Setting, settings
from benchmarks.scaling.simulate import ROOT, simulate
from benchmarks.scaling.table import Row, as_markdown, duration
from benchmarks.table import write_between_markers
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plans
from tdbench.experiment.run import Plan
from tdbench.runtime.progress import say
from tdbench.workflow.budget import PUBLISHED, Throughput

COMMAND = "python -m benchmarks.scaling"


def main(
    experiment: Annotated[str, typer.Option(help="An experiment or a collection.")] = "paper",
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs, with commas.")] = "1,8,64,512",
    gpus_a_run: Annotated[int, typer.Option(min=2, help="GPUs of a run where it has several.")] = 8,
    tflops: Annotated[list[float] | None, typer.Option(min=1e-3, help="1e12 operations a second and GPU.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this machine's GPU and take its speed.")] = False,
    efficiency: Annotated[float, typer.Option(min=0.01, max=1, help="Of GPUs that share a run.")] = 0.9,
    figure: Annotated[Path | None, typer.Option(help="File for the picture, .png or .svg.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="File with markers, between which the tables go.")] = None,
) -> None:
    """Simulate an experiment on several numbers of GPUs, by Snakemake's own graph and scheduler."""
    plans, counts = load_plans(experiment), _numbers(gpus)
    rows = list(_rows(experiment, plans, counts, settings(gpus_a_run), _speeds(plans, tflops, measure), efficiency))
    if figure is not None:
        draw(rows, figure)
    table = as_markdown(rows)
    if markdown is not None:
        write_between_markers(markdown, table, COMMAND)
    typer.echo(table)


def _numbers(text: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = [0]
    if counts[0] < 1:
        raise TdbenchError(f"--gpus {text}: give whole numbers from 1 on, with commas, such as 1,8,64")
    return counts


def _speeds(plans: list[Plan], tflops: list[float] | None, measure: bool) -> list[Throughput]:
    """What a GPU does: measured, stated, or a GPU of the paper's machine."""
    if measure:
        # Importing diffusers and building networks takes a while.
        from tdbench.workflow.throughput import measure_throughput

        return [measure_throughput((run.network.kind for plan in plans for run in plan.runs.values()), threads=1)]
    if tflops:
        return [Throughput(value, "(stated)") for value in tflops]
    assert isinstance(PUBLISHED.tflops, float)
    return [Throughput(PUBLISHED.tflops, "(of the paper's machine: 50 kimg of EDM in 45.7 s, if on four GPUs)")]


def _rows(
    experiment: str,
    plans: list[Plan],
    counts: list[int],
    ways: list[Setting],
    speeds: list[Throughput],
    efficiency: float,
) -> Iterator[Row]:
    """A row for each speed, way and number of GPUs that is enough for a run."""
    results = Path("results")
    what = str(Path(experiment).resolve()) if Path(experiment).is_file() else experiment
    for speed in speeds:
        costs = costs_of(plans, results, Rates(speed, efficiency))
        for way in ways:
            for count in (count for count in counts if count >= way.gpus_a_run):
                more = ["--config", f"experiment={what}", f"results={results}", *way.options]
                outcome = simulate(ROOT / "Snakefile", costs, count, count * CORES_A_GPU, efficiency, *more)
                say(f"{speed.of('ddpmpp'):.3g} TFLOP/s, {way.name}, {count} GPUs: {duration(outcome.wall_s)}")
                yield Row(speed, way, outcome)


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
