"""Formats simulated calls as the tables of docs/scaling.md."""

from collections import Counter
from dataclasses import dataclass

from benchmarks.scaling.settings import Setting
from benchmarks.scaling.simulate import Job, Outcome
from tdbench.workflow.budget import Throughput

STAGES = ("train", "sample", "evaluate")


@dataclass(frozen=True)
class Row:
    """One simulated call."""

    throughput: Throughput
    setting: Setting
    outcome: Outcome


def as_markdown(rows: list[Row]) -> str:
    """Return a sentence on the jobs, then a table per GPU speed."""
    parts = [jobs_table(rows[0].outcome)]
    for throughput in dict.fromkeys(row.throughput for row in rows):
        own = [row for row in rows if row.throughput == throughput]
        parts.append(_speed_table(throughput, own))
    return "\n\n".join(parts)


def jobs_table(outcome: Outcome) -> str:
    """Count jobs by rule; the jobs for reports are counted together."""
    counts = Counter(
        job.rule if job.rule in (*STAGES, "reference_by_library", "data") else "others" for job in outcome.jobs
    )
    told = ", ".join(f"{counts[rule]} `{rule}`" for rule in ("data", "reference_by_library", *STAGES) if counts[rule])
    return (
        f"{len(outcome.jobs)} jobs: {told}, {counts['others']} others (weights, tables, pages, tracking, the target)."
    )


def _speed_table(throughput: Throughput, rows: list[Row]) -> str:
    networks = sorted({"ddpmpp"} if isinstance(throughput.tflops, float) else throughput.tflops)
    lines = [
        f"**A GPU {throughput.describe(networks)}**",
        "",
        "| | GPUs | wall time | least possible | GPUs busy | GPU hours | core hours | the longest chain of jobs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    shown: set[str] = set()
    for row in rows:
        name, outcome = row.setting.name, row.outcome
        cells = [
            name if name not in shown else "",
            f"{outcome.gpus:,}",
            duration(outcome.wall_s),
            duration(outcome.bound_s),
            f"{outcome.utilisation:.0%}",
            f"{outcome.gpu_s / 3600:,.0f}",
            f"{outcome.core_s / 3600:,.0f}",
            _chain(outcome) if name not in shown else "the same",
        ]
        shown.add(name)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _chain(outcome: Outcome) -> str:
    """Return the longest chain, such as ``18.1 d: ffhq/edm-td-seed0: train 5.6 d, ...``."""
    path = outcome.critical_path
    stages = {job.rule: job for job in path if job.rule in STAGES}
    told = ", ".join(f"{rule} {duration(job.seconds)}" for rule, job in stages.items())
    runs = ", ".join(dict.fromkeys(_run(job) for job in stages.values()))
    return f"{duration(outcome.critical_s)}: {runs}: {told}"


def _run(job: Job) -> str:
    """Return the run of a job, such as ``ffhq/edm-td-seed0``, from ``RESULTS/EXPERIMENT/jobs/RUN/train.json``."""
    return job.name.partition("/jobs/")[2].rpartition("/")[0]


def duration(seconds: float) -> str:
    """Format a duration in minutes, hours or days."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            value = seconds / unit
            return f"{value:,.0f} {name}" if value >= 100 else f"{value:.1f} {name}"
    return f"{seconds:.0f} s"
