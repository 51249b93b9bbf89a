"""`snakemake --lint`, without the advice that does not hold here: `python tests/quality/lint_workflow.py`."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DOES_NOT_HOLD = {
    "No log directive defined": (
        "a file for each job would hold progress that people want to see on their terminal; what lasts is in "
        "progress.jsonl of each run, which `tdbench status` reads, and an executor of a cluster keeps a log of each job"
    ),
    "Specify a conda environment or container for each rule.": (
        "all rules run in the one environment of requirements.lock, whose versions and checksums are in the results"
    ),
    "Shell command directly uses variable W from outside of the rule": (
        "W.results is where the results lie; as a param, a results folder that is moved would be computed anew"
    ),
}
"""Title of a lint -> why it is not followed."""


def lints(folder: Path = ROOT) -> list[str]:
    """What `snakemake --lint` says of the workflow in ``folder``, a line ``where: title`` each.

    Raises
    ------
    RuntimeError
        If it did not come to an end: a workflow that cannot be read is not one without lints.
    """
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    output = done.stdout + done.stderr
    found, where = [], ""
    for line in output.splitlines():
        if heading := re.match(r"Lints for (.+):$", line):
            where = heading[1]
        elif title := re.match(r"    \* (.+):$", line):
            found.append(f"{where}: {title[1]}")
    if bool(found) != (done.returncode != 0) or not (found or "good condition" in output):
        raise RuntimeError(output)
    return found


def remaining(found: list[str]) -> list[str]:
    """Those that are to be followed."""
    return [line for line in found if line.split(": ", 1)[1] not in DOES_NOT_HOLD]


if __name__ == "__main__":
    left = remaining(lints())
    print("\n".join(left) or "snakemake --lint: nothing to follow")
    sys.exit(bool(left))
