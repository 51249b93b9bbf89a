"""What the stages write as JSON, and reading it: a file that is not so is refused before anything is made of it.

The models name what is read again; files may hold more.
"""

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tdbench.errors import TdbenchError
from tdbench.runtime import advice
from tdbench.runtime.files import read_json
from tdbench.validation import plain

_FIRST, _LAST = 2000, 9000  # years; no calendar has more


def _moment(text: str) -> str:
    if not _FIRST <= datetime.fromisoformat(text).year <= _LAST:
        raise ValueError("expected a time such as 2026-01-31T12:00:00+00:00")
    return text


def _below(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError("expected a path that stays within the folder of the run")
    return name


Moment = Annotated[str, AfterValidator(_moment)]
Below = Annotated[str, AfterValidator(_below)]
Checksum = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=1e11)]
Plain = str | int | float | bool | None


class Record(BaseModel):
    """A block of JSON as tdbench writes it: types are what they are, and no number is infinite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Provenance(Record):
    """Which code wrote it, and when."""

    git_commit: str
    versions: dict[str, str]
    written_at: Moment


class Hardware(Record):
    """What it ran on."""

    device: str
    threads: int


class Part(Record):
    """A stretch of a training."""

    from_step: Count
    hardware: dict[str, Plain]


class Data(Record):
    """archive.json: what `ImageSet.summary` says of images."""

    sha256: Checksum
    images: Annotated[int, Field(ge=1, le=10**12)]
    resolution: Annotated[int, Field(ge=1, le=65_536)]
    channels: Annotated[int, Field(ge=1, le=16)]
    classes: Annotated[int, Field(ge=0, le=1_000_000)]
    class_counts: list[Count] | None = None
    """Images of each class; results from before it was kept have none."""
    class_names: list[str] | None = None
    """The name of each class, where the source has names."""

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        counts = self.class_counts
        if counts is not None and (len(counts) != self.classes or sum(counts) != (self.images if counts else 0)):
            raise ValueError(f"class_counts: do not add up to {self.images} images of {self.classes} classes")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(f"class_names: {len(self.class_names)} names of {self.classes} classes")
        return self


def same_data(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two summaries are of the same data, by what both hold: earlier versions kept no ``class_counts``."""
    return all(one[key] == other[key] for key in one.keys() & other.keys())


class Written(Record):
    """Any file that says who wrote it, such as report.json."""

    provenance: Provenance


class Origin(Written):
    """Of run.json, what tells where a training ran."""

    # Results from before there were checkpoints have none.
    parts: Annotated[list[Part] | None, Field(min_length=1)] = None


class DistanceWeights(Record):
    """Of run.json, what the network of the distance was loaded from."""

    file: str
    sha256: Checksum


class Trained(Origin):
    """run.json."""

    run: dict[str, Any]
    data: Data
    parameters: Count
    hardware: Hardware
    # Where the distance of the formulation needs weights.
    distance_weights: DistanceWeights | None = None


class MetricsLine(Record):
    """A line of metrics.jsonl."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    step: Count
    images: Count
    kimg: float
    seconds: Seconds
    loss: float
    base_loss: float
    td_loss: float | None
    valid_share: float
    grad_norm: float
    memory_mb: float


class SnapshotEntry(Record):
    """One of the weights that a training kept."""

    images: Count
    file: Below
    sha256: Checksum


class Kept(Record):
    """What a checkpoint says of itself."""

    step: Count
    snapshots: list[SnapshotEntry]
    line: dict[str, Any]
    parts: list[dict[str, Any]]
    metrics_bytes: Count
    seconds: Seconds


class Passes(Record):
    """Forward passes of a step."""

    network: Count
    target: Count


class Finished(Record):
    """snapshots.json."""

    snapshots: Annotated[list[SnapshotEntry], Field(min_length=1)]
    training_seconds: Seconds
    last_metrics: MetricsLine
    forward_passes_a_step: Passes


class SampleSet(Record):
    """One set of samples.json."""

    key: dict[str, Any]
    snapshot_images: Count
    steps: Annotated[int, Field(ge=1, le=10**6)]
    nfe: Annotated[int, Field(ge=1, le=10**8)]
    estimate_moves: list[float]
    file: Below
    sha256: Checksum
    seconds: Seconds
    provenance: Provenance


class Sampled(Record):
    """samples.json."""

    samples: Annotated[list[SampleSet], Field(min_length=1)]


class Score(Record):
    """One row of scores.json."""

    snapshot_kimg: Annotated[float, Field(ge=0, le=1e12)]
    steps: Annotated[int, Field(ge=1, le=10**6)]
    nfe: Annotated[int, Field(ge=1, le=10**8)]
    sampler: str
    library: str
    features: str
    resize: str
    n: Count
    reference_n: Count
    reference_data: Checksum
    samples: Checksum
    seconds: Seconds
    metric: str
    # Squares of larger ones, of which means and spreads are made, overflow.
    value: Annotated[float, Field(ge=-1e100, le=1e100)]
    spread_of_images: float | None = None


class Pair(Record):
    """A sample and the image of the data that it comes nearest to."""

    sample: Count
    image: Count
    distance: Annotated[float, Field(ge=0, le=1e100)]


class Nearest(Record):
    """The samples that come nearest to images of the data."""

    snapshot_images: Count
    steps: Annotated[int, Field(ge=1, le=10**6)]
    samples: Count
    share: Annotated[float, Field(ge=0, le=1)]
    threshold: Annotated[float, Field(ge=0, le=1e100)]
    pairs: Annotated[list[Pair], Field(min_length=1)]


class Scored(Record):
    """scores.json."""

    evaluation: dict[str, Any]
    references: dict[str, Checksum]
    scores: Annotated[list[Score], Field(min_length=1)]
    nearest: Nearest
    provenance: Provenance


class ResidualAt(Record):
    """The residual at a time of the grid."""

    index: float
    squared: float
    weighted: float


class Consistency(Record):
    """consistency.json."""

    key: dict[str, Any]
    residuals: Annotated[list[ResidualAt], Field(min_length=1)]
    mean: float
    weighted_mean: Annotated[float, Field(ge=-1e100, le=1e100)]
    provenance: Provenance


class ClassifierReport(Record):
    """classifier.json."""

    channels: Annotated[int, Field(ge=1, le=16)]
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    sha256: Checksum


class Accuracy(Record):
    """Of classifier.json, what tells how good the classifier is."""

    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    test_images: Count


class Reference(Record):
    """The facts in a file of reference features."""

    library: str
    library_version: str
    features: str
    weights: str
    resize: str
    data: Checksum
    extracted_by: str
    provenance: Provenance


def read_record(path: Path, made_by: str, shape: type[Record]) -> dict[str, Any]:
    """The content of a JSON file that the command ``made_by`` wrote, which is as ``shape`` says.

    Raises
    ------
    TdbenchError
        If it is missing, is not JSON, or is not so; names the first key that is wrong.
    """
    content = read_json(path, made_by)
    check_record(f"{path}", content, made_by, shape)
    checked: dict[str, Any] = content
    return checked


def check_record(where: str, content: Any, made_by: str | None, shape: type[Record]) -> None:
    """Refuse a block that is not as ``shape`` says; raises as `read_record` does."""
    try:
        shape.model_validate(content)
    except (ValidationError, RecursionError) as error:
        first: Any = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "type": "missing"}
        key = ".".join(str(part)[:60] for part in first["loc"])
        said = "is missing" if first["type"] == "missing" else plain({**first, "loc": ()})
        raise TdbenchError(
            f"{where}: {f'{key}: ' if key else ''}{said}; damaged, or of another version: {advice.again(made_by)}"
        ) from error
