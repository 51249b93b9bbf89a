"""Commands that check and plan an experiment, and the check of the TD objective."""

import itertools
from pathlib import Path
from typing import Annotated

import typer

from tdbench.cli.arguments import Experiment, Only, Threads, check_finite, path_argument
from tdbench.errors import TdbenchError
from tdbench.runtime.progress import say

app = typer.Typer()


@app.command()
def validate(experiment: Experiment) -> None:
    """Check an experiment file. Prints one line per mistake, with file, key and value."""
    from tdbench.experiment.load import load_plans
    from tdbench.experiment.remarks import floor_remarks, score_remarks, source_remarks

    for plan in load_plans(experiment):
        typer.echo(f"{plan.path}: valid, {len(plan.runs)} runs")
        remarks = (source_remarks(plan, plan.experiment.datasets), score_remarks(plan), floor_remarks(plan))
        for remark in itertools.chain(*remarks):
            say(f"tdbench: warning: {remark}")


@app.command()
def plan(
    experiment: Experiment,
    tflops: Annotated[float | None, typer.Option(min=1e-6, help="Training throughput of your GPU, in TFLOP/s.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the throughput on this machine first.")] = False,
    run: Annotated[str | None, typer.Option(help="Print all settings of this run as JSON instead.")] = None,
    threads: Threads = 1,
    only: Only = None,
) -> None:
    """Estimate what an experiment takes: runs, jobs, images, network evaluations, hours, disk.

    Hours are for this machine if it has no GPU and the network is small, otherwise for one GPU of the paper's machine.
    """
    from tdbench.experiment.load import load_plan, load_plans
    from tdbench.workflow.budget import Throughput, describe_plans

    if run is not None:
        typer.echo(load_plan(experiment, only).run(run).model_dump_json(by_alias=True, indent=2))
        return
    check_finite("--tflops", tflops)
    if measure and tflops is not None:
        raise TdbenchError("--tflops and --measure: give one of them")
    plans = load_plans(experiment, only)
    if tflops is not None:
        throughput = Throughput(tflops, "as given")
    else:
        from tdbench.workflow.throughput import measure_throughput, usual_throughput

        how = measure_throughput if measure else usual_throughput
        throughput = how((run.network.kind for p in plans for run in p.runs.values()), threads)
    typer.echo(describe_plans(plans, throughput))


@app.command()
def verify(
    files: Annotated[list[Path], path_argument("FILES", help="npz files with reference vectors.")],
) -> None:
    """Check the TD objective against reference vectors; exits with 1 on any mismatch."""
    from tdbench.diffusion.verification import verify_file

    missed = 0
    for path in files:
        for case in verify_file(path):
            typer.echo(case.line())
            missed += not case.passed
    if missed:
        raise typer.Exit(1)
