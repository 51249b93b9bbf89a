"""``python -m benchmarks.scaling.overhead``: measures the overhead of Snakemake for graphs of thousands of jobs.

Experiments on the digits with many seeds go through the real Snakefile and scheduler; only their jobs are simulated.
CPU time is measured, so that other programs on the machine have little effect.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.scaling.costs import Cost, costs_of
from benchmarks.scaling.many_jobs import write_experiment
from benchmarks.scaling.rates import Rates
from benchmarks.scaling.simulate import ROOT, Outcome, simulate
from benchmarks.table import write_between_markers
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plans
from tdbench.runtime.progress import say
from tdbench.workflow.budget import PUBLISHED

COMMAND = "python -m benchmarks.scaling.overhead"
GPUS, CORES = 64, 1024


def main(
    jobs: Annotated[list[int] | None, typer.Option(min=100, help="Number of jobs in a graph; may be repeated.")] = None,
    scheduler: Annotated[str, typer.Option(help="Snakemake's ilp (its default) or greedy.")] = "ilp",
    first: Annotated[int, typer.Option(min=0, help="Stop after this many jobs have ended; 0 for never.")] = 60,
    markdown: Annotated[Path | None, typer.Option(help="Write the table between the markers in this file.")] = None,
) -> None:
    """Measure planning and scheduling of large graphs."""
    table = as_markdown(list(_measured(jobs or [1000, 3000, 10_000], scheduler, first)), first)
    if markdown is not None:
        write_between_markers(markdown, table, COMMAND)
    typer.echo(table)


def _measured(sizes: list[int], scheduler: str, first: int) -> Iterator[tuple[int, Outcome]]:
    """Return the number of jobs in the graph and the outcome of a Snakemake call."""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="tdbench-many-") as folder:
            path = write_experiment(Path(folder), size)
            names = costs_of(load_plans(str(path)), Path("results"), Rates(PUBLISHED))
            # No two jobs end together, so each needs a round of the scheduler.
            costs = {name: Cost(60 + 0.01 * place) for place, name in enumerate(names)}
            more = ["--scheduler", scheduler, "--config", f"experiment={path}", "results=results"]
            outcome = simulate(ROOT / "Snakefile", costs, GPUS, CORES, 1.0, *more, stop_after=first)
        # The target `all` has no output.
        count = len(costs) + 1
        say(f"{count:,} jobs: planned in {outcome.planning_s:.1f} s, {outcome.scheduling_s:.1f} s for the jobs done")
        yield count, outcome


def as_markdown(measured: list[tuple[int, Outcome]], first: int) -> str:
    """Return a table with a line per graph."""
    lines = [
        f"| jobs in the graph | planned in, s | scheduling, ms a job (of the first {first:,}) | memory, MB |"
        if first
        else "| jobs in the graph | planned in, s | scheduling, ms a job | memory, MB |",
        "|---|---|---|---|",
    ]
    for count, outcome in measured:
        # Jobs that were still running at the limit end in rounds that select nothing.
        each = 1000 * outcome.scheduling_s / (first or len(outcome.jobs))
        lines.append(f"| {count:,} | {outcome.planning_s:.1f} | {each:.0f} | {outcome.peak_mb:,.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
