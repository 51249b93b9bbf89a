"""README.md of a crate: its content, how to check it, how to reproduce it."""

from tdbench.experiment.plan import Plan
from tdbench.reporting.crate import EXPERIMENT, METADATA, RESOLVED, SOFTWARE
from tdbench.reporting.crate.contents import Contents
from tdbench.reporting.crate.repeat import again, data_to_bring, is_commit, size


def readme(plan: Plan, contents: Contents) -> str:
    """The text of README.md."""
    experiment = plan.experiment
    origins = [origin for made in contents.activities for origin in made.origins]
    versions = dict.fromkeys(f"{name} {version}" for origin in origins for name, version in origin.versions.items())
    machines = dict.fromkeys(origin.platform or "an unknown platform" for origin in origins)
    known = [commit for commit in contents.commits if is_commit(commit.removesuffix("-dirty"))]
    lines = [
        f"# Results of experiment {experiment.name}\n\n{experiment.description}",
        "",
        f"An [RO-Crate](https://w3id.org/ro/crate/1.1), packed by `tdbench export`: {METADATA} describes every file "
        "with its SHA-256, and the command, code and time that made it.",
        "",
        f"- `{EXPERIMENT}`: the experiment; `{RESOLVED}`: every run with all its settings",
        f"- `{experiment.name}/`: `report.html`, tables, figures, scores; `runs/`: settings, metrics, snapshots, "
        "sample sets and scores of each run, with hardware, versions and times",
        "- `datasets/`: checksum and size of the data, and where the reference features come from",
        *([f"- `{SOFTWARE}/`: the workflow and the locked versions"] if _has_software(contents) else []),
        f"- runs: {len(plan.runs)}, of seeds {', '.join(map(str, experiment.seeds))}",
        f"- made by commit {', '.join(contents.commits) or 'unknown'}",
        f"- on {', '.join(machines)}",
        f"- with {', '.join(versions)}",
        "",
        "## Check",
        "",
        "    tdbench check-crate .",
        "",
        "## Reproduce",
        "",
        *(f"    {line}" for line in again(known, "CRATE")),
    ]
    settings = {run.name: run.model_dump(mode="json") for run in plan.runs.values()}
    if to_bring := data_to_bring(settings, list(contents.members)):
        lines += ["", *(f"Before that, {line}." for line in to_bring)]
    if contents.left_out:
        lines += ["", "## Left out", ""]
        lines += [f"- {line}" for line in left_out(contents)]
    if contents.missing:
        lines += ["", "## Unfinished", ""]
        lines += [f"- {run}: {what.splitlines()[0]}" for run, what in contents.missing.items()]
    return "\n".join(lines) + "\n"


def _has_software(contents: Contents) -> bool:
    return any(name.startswith(f"{SOFTWARE}/") for name in contents.members)


def left_out(contents: Contents) -> list[str]:
    """One line per option that would pack more files."""
    return [
        f"{len(files)} files of {option.removeprefix('--with-')}, {size(sum(files.values()))} ({option} packs them)"
        for option, files in contents.left_out.items()
    ]
