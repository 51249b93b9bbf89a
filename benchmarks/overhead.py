"""Shares of a reproduction's core time: training, sampling, scoring, and everything else.

    python -m benchmarks.overhead RESULTS [--workdir FOLDER] [--log FILE] [--json FILE]

RESULTS is the folder of a complete `make reproduce`. Core time is cores x wall time of the Snakemake call. Work is the
time that jobs record: `training_seconds` of each training, `seconds` of each set of samples and of each score. The rest
of the time of these jobs is start and end. Time outside jobs is Snakemake's own or idle.
"""

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.snakemake_records import Call, Job, newest_log, read_call, read_jobs
from tdbench.errors import TdbenchError
from tdbench.runtime.files import read_json, write_json

PREPARATION = ("data", "classifier", "reference")


def work_of(job: Job) -> float:
    """Return the seconds of work that a job recorded, over all its runs; 0 for rules without such records.

    Runs kept from an earlier call count as well, so measure a complete reproduction.
    """
    if job.rule not in WORK:
        return 0.0
    (marker,) = job.outputs
    content = read_json(marker, f"tdbench {job.rule}")
    # results/EXPERIMENT/jobs/BATCH/STAGE.json; the name of a batch may contain folders
    experiment = next(parent.parent for parent in marker.parents if parent.name == "jobs")
    return sum(WORK[job.rule](experiment / "runs" / run) for run in content["runs"])


def _trained(run: Path) -> float:
    return float(read_json(run / "snapshots.json", "tdbench train")["training_seconds"])


def _sampled(run: Path) -> float:
    return sum(record["seconds"] for record in read_json(run / "samples.json", "tdbench sample")["samples"])


def _scored(run: Path) -> float:
    rows = read_json(run / "scores.json", "tdbench evaluate")["scores"]
    # FID and KID of a set share their features; each of the two rows has the time of both.
    once = {(row["library"], row["snapshot_kimg"], row["steps"]): row["seconds"] for row in rows}
    return sum(once.values())


WORK: dict[str, Callable[[Path], float]] = {"train": _trained, "sample": _sampled, "evaluate": _scored}
"""Rule that records its work -> function for the seconds of a run."""


def account(call: Call, jobs: list[Job]) -> dict[str, Any]:
    """Return core seconds by rule and by purpose. Every job is assumed to use one core, as those of the digits do."""
    rules: dict[str, dict[str, float]] = defaultdict(lambda: {"jobs": 0, "wall_s": 0.0, "work_s": 0.0})
    for job in jobs:
        entry = rules[job.rule]
        entry["jobs"] += 1
        entry["wall_s"] += job.wall_s
        entry["work_s"] += work_of(job)
    total, held = call.cores * call.wall_s, sum(entry["wall_s"] for entry in rules.values())
    working = {"training": "train", "sampling": "sample", "features and scores": "evaluate"}
    spent = {what: rules[rule]["work_s"] if rule in rules else 0.0 for what, rule in working.items()}
    spent["data, classifier, reference"] = sum(rules[rule]["wall_s"] for rule in PREPARATION if rule in rules)
    besides = [entry["wall_s"] - entry["work_s"] for rule, entry in rules.items() if rule in WORK]
    spent["start and end of these jobs"] = sum(besides)
    spent["reports and tracking"] = held - sum(spent.values())
    spent["Snakemake and idle cores"] = total - held
    rest = 1 - sum(spent[what] for what in working) / total
    return {
        "wall_s": call.wall_s,
        "cores": call.cores,
        "core_s": total,
        "rules": dict(rules),
        "spent_s": spent,
        "share_not_training_sampling_scores": rest,
    }


def table(found: dict[str, Any]) -> str:
    """Format the result of `account` as text."""
    lines = [f"{found['wall_s']:.0f} s on {found['cores']} cores: {found['core_s']:.0f} core seconds", ""]
    lines += [f"{'rule':28} {'jobs':>5} {'wall s':>9} {'work s':>9} {'rest s a job':>13}"]
    for rule, entry in found["rules"].items():
        work = f"{entry['work_s']:9.1f} {(entry['wall_s'] - entry['work_s']) / entry['jobs']:13.1f}"
        lines.append(f"{rule:28} {entry['jobs']:5.0f} {entry['wall_s']:9.1f} {work if rule in WORK else ''}".rstrip())
    lines += ["", f"{'spent on':28} {'core s':>9} {'share':>8}"]
    lines += [f"{what:28} {s:9.1f} {s / found['core_s']:8.1%}" for what, s in found["spent_s"].items()]
    lines += ["", f"not training, sampling, features or scores: {found['share_not_training_sampling_scores']:.1%}"]
    return "\n".join(lines)


def main(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    workdir: Annotated[Path, typer.Option(help="Folder where Snakemake ran.")] = Path(),
    log: Annotated[Path | None, typer.Option(help="Log of the call; the newest by default.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")] = None,
) -> None:
    """Show how a reproduction spent its core time."""
    log = log or newest_log(workdir)
    call = read_call(log)
    jobs = read_jobs(workdir, call, results)
    if not jobs:
        raise TdbenchError(f"{results}: the call in {log} ran no job there; choose another log with --log")
    found = account(call, jobs)
    if json_file is not None:
        write_json(json_file, found)
    typer.echo(table(found))


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
