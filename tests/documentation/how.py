"""How each documented command is checked: the one list of it.

Commands are run as they stand, in a copy of the project (`Project`) where what the documentation names is small: the
experiments ``digits`` and ``my.yaml`` are small.yaml beside this file, ``my/images`` has a few pictures, and
``results`` and ``other/results`` hold the finished small experiment. What would take hours, another program, a GPU or a
cluster is planned, or its options are compared with the program's own help; what a cluster brings along is elsewhere.
The reason stands here.
"""

import re
from typing import Literal, NamedTuple

Way = Literal["run", "plan", "options", "elsewhere"]


class How(NamedTuple):
    """A way to check the commands that a pattern fits."""

    pattern: str
    way: Way
    reason: str = ""


HOW: tuple[How, ...] = (
    How(r"tdbench status .*--watch.*", "options", "goes on until it is stopped"),
    How(r"tdbench plan .*--measure.*", "options", "measures this machine, which takes minutes"),
    How(r"tdbench weights .*", "options", "fetches 190 MB"),
    How(r"tdbench merge .*", "options", "needs the results of several machines; tests/workflow merges some"),
    How(r"tdbench keep .*", "options", "wants the results of committed code; tests/workflow keeps some"),
    How(r"tdbench compare results reference.*", "options", "the small experiment has other figures than the reference"),
    How(r"MLFLOW_TRACKING_URI=\S+ tdbench track .*", "options", "needs a server; tests/reporting/tracking starts one"),
    How(r"(MLFLOW_\S+ )?mlflow (ui|server) .*", "options", "a server, which goes on until it is stopped"),
    How(
        r"tdbench (show (cifar10|my.yaml)|report digits-long .*)",
        "options",
        "needs the results of an experiment that is only planned here",
    ),
    How(r"git clone .*", "elsewhere", "wants the repository's address"),
    How(r"cp .*", "run"),
    How(r"tdbench .*", "run"),
    How(r"(TDBENCH_GPUS=\S+ )?snakemake .*--report .*", "options", "wants the results of Snakemake's own run"),
    How(r"(TDBENCH_GPUS=\S+ )?snakemake .*", "plan", "trains; the small experiment is run by tests/workflow"),
    How(r"(squeue|sinfo|sacct|scontrol|scancel|sbatch|kubectl) .*", "elsewhere", "a cluster's own program"),
    How(r"uv tool install pre-commit|pre-commit install", "elsewhere", "a tool of the contributor's own"),
    How(r"pip-audit .*", "options", "asks a service on the network"),
    How(r"make (install|lock)", "plan", "installs from the package index"),
    How(r"make( .*)?", "plan", "each takes minutes; what it calls is planned, run, or a test of its own"),
    How(r"python -m benchmarks(\.\w+)*( .*)?", "options", "measures for minutes; tests/benchmarks runs it briefly"),
    How(r"python -m tools\.results( .*)?", "options", "rewrites pages; test_results.py calls it"),
)


def how(command: str) -> How | None:
    """The first entry that fits."""
    return next((entry for entry in HOW if re.fullmatch(entry.pattern, command)), None)
