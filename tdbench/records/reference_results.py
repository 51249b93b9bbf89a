"""reference.json of results/reference/NAME: where the tables beside it come from."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tdbench.data.summary import DataSummary
from tdbench.records.schema import Below, Settings, Written
from tdbench.runtime.device import Hardware
from tdbench.validation import Checksum, Count, Record, Seconds

REFERENCES = Path("results/reference")
"""The reference results of the project, from the top of its checkout."""
RECORD, SCORES = "reference.json", "scores.csv"


class StageCost(Record):
    """What a stage took, over all runs."""

    seconds: Seconds
    """Of one process; several may have run at a time."""


class ReferenceResults(Written):
    """reference.json."""

    experiment: str
    only: str | None = None
    """The part of the experiment that was run; None for all of it."""
    commits: Annotated[list[str], Field(min_length=1)]
    """Of the code that trained, sampled and scored."""
    code_sha256: Annotated[list[Checksum], Field(min_length=1)]
    versions: dict[str, str]
    hardware: Annotated[list[Hardware], Field(min_length=1)]
    data: dict[str, DataSummary]
    seeds: Annotated[list[int], Field(min_length=1)]
    trainings: Count
    stages: dict[str, StageCost]
    settings: Settings
    """The experiment, with every setting."""
    files: dict[Below, Checksum]
    """CSV file -> SHA-256."""
