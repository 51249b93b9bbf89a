"""``python -m benchmarks.scaling``: simulates the time of an experiment on 1 to 512 GPUs."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scaling.costs import costs_of
from benchmarks.scaling.figure import draw
from benchmarks.scaling.rates import Rates
from benchmarks.scaling.settings import CORES_A_GPU, SETTINGS
from benchmarks.scaling.simulate import ROOT, simulate
from benchmarks.scaling.table import Row, as_markdown, duration
from benchmarks.table import write_between_markers
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plans
from tdbench.experiment.plan import Plan
from tdbench.runtime.progress import say
from tdbench.workflow.budget import PUBLISHED

SPEED = replace(PUBLISHED, origin="(of the paper's machine: 50 kimg of EDM in 45.7 s, if on four GPUs)")
COMMAND = "python -m benchmarks.scaling"


def main(
    experiment: Annotated[str, typer.Option(help="Experiment or collection.")] = "paper",
    gpus: Annotated[str, typer.Option(help="Numbers of GPUs, separated by commas.")] = "1,8,64,512",
    figure: Annotated[Path | None, typer.Option(help="Write the picture to this .png or .svg file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables between the markers in this file.")] = None,
) -> None:
    """Simulate an experiment on several numbers of GPUs, with Snakemake's own graph and scheduler."""
    plans, counts = load_plans(experiment), _numbers(gpus)
    rows = list(_rows(experiment, plans, counts))
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
        raise TdbenchError(f"--gpus {text}: give positive whole numbers separated by commas, such as 1,8,64")
    return counts


def _rows(experiment: str, plans: list[Plan], counts: list[int]) -> Iterator[Row]:
    """Simulate each setting and each number of GPUs that suffices for a run, at the speed of the paper's GPUs."""
    results, rates = Path("results"), Rates(SPEED)
    what = str(Path(experiment).resolve()) if Path(experiment).is_file() else experiment
    costs = costs_of(plans, results, rates)
    for way in SETTINGS:
        for count in (count for count in counts if count >= way.gpus_a_run):
            more = ["--config", f"experiment={what}", f"results={results}", *way.options]
            outcome = simulate(ROOT / "Snakefile", costs, count, count * CORES_A_GPU, rates.efficiency, *more)
            say(f"{way.name}, {count} GPUs: {duration(outcome.wall_s)}")
            yield Row(SPEED, way, outcome)


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
