"""The JSON files that stages write: one model for each file, used to write it and to read it.

Blocks of settings stay dictionaries as they were written, because they are only compared with the current settings.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.runtime import advice
from tdbench.runtime.device import Hardware
from tdbench.runtime.files import read_json
from tdbench.runtime.provenance import Provenance
from tdbench.validation import Checksum, Count, Record, Seconds, plain

Settings = dict[str, Any]
"""Settings as they were written."""


def _below(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError("expected a path inside the folder of the run")
    return name


Below = Annotated[str, AfterValidator(_below)]
Images = Annotated[int, Field(ge=1, le=10**12)]
Steps = Annotated[int, Field(ge=1, le=10**6)]
Nfe = Annotated[int, Field(ge=1, le=10**8)]
# The squares of larger values overflow when means and standard deviations are computed.
Value = Annotated[float, Field(ge=-1e100, le=1e100)]
Distance = Annotated[float, Field(ge=0, le=1e100)]


class Written(Record):
    """A file that records its provenance, such as report.json."""

    provenance: Provenance


class Part(Record):
    """A part of a training, from its start or a resume to the next interruption or the end."""

    from_step: Count
    hardware: Hardware
    engine: dict[str, str | bool] | None = None
    """Number formats and compilation."""
    provenance: Provenance


class DistanceWeights(Record):
    """The file from which the network of the distance was loaded."""

    file: str
    sha256: Checksum


class Trained(Written):
    """run.json: the settings of a training, and where it ran."""

    name: str | None = None
    run: Settings
    data: DataSummary
    parameters: Count
    hardware: Hardware
    engine: dict[str, str | bool] | None = None
    parts: Annotated[list[Part] | None, Field(min_length=1)] = None
    """None in results that were written before checkpoints existed."""
    distance_weights: DistanceWeights | None = None
    """Set if the distance of the formulation needs weights."""

    @property
    def stretches(self) -> list[Part]:
        """The parts of the training, one for its start and one for each resume; at least one."""
        return self.parts or [Part(from_step=0, hardware=self.hardware, provenance=self.provenance)]


class MetricsLine(Record):
    """A line of metrics.jsonl."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    step: Count
    images: Count
    kimg: float
    loss: float
    base_loss: float
    td_loss: float | None
    valid_share: float
    grad_norm: float
    images_per_s: float | None = None
    seconds: Seconds
    memory_mb: float
    learning_rate: float | None = None
    ema_decay: float | None = None
    td_lambda: float | None = None
    """Weight of the base loss beside the temporal difference in the last step; None in a step of the baseline."""
    target_decay: float | None = None
    """Share of the old target that the last step kept; None without a target."""
    network_passes: Count | None = None
    """Passes of images through the trained network since step 0: 1 for a forward pass, 2 for a backward pass."""
    target_passes: Count | None = None
    """Passes of images through the target network since step 0."""

    @property
    def figures(self) -> dict[str, float | None]:
        """Every figure by name, including those of later versions."""
        return dict(self)


class NetworksEntry(Record):
    """The file of the trained network and its target at a snapshot, without average."""

    file: Below
    sha256: Checksum
    target: Settings
    """How the target followed."""


class SnapshotEntry(Record):
    """A snapshot that a training kept."""

    images: Count
    kimg: float | None = None
    file: Below
    sha256: Checksum
    seconds: Seconds | None = None
    """Training time until it was taken."""
    network_passes: Count | None = None
    """Passes of images through the trained network until then; see `MetricsLine`."""
    target_passes: Count | None = None
    networks: NetworksEntry | None = None
    """Kept at the end of trainings whose mechanism is measured."""

    @property
    def passes(self) -> int | None:
        """Passes through both networks; None in results of a version that did not count them."""
        if self.network_passes is None or self.target_passes is None:
            return None
        return self.network_passes + self.target_passes


class Passes(Record):
    """Evaluations of each network for a part of a batch."""

    network: Count
    target: Count


class Finished(Record):
    """snapshots.json: written when a training is done."""

    snapshots: Annotated[list[SnapshotEntry], Field(min_length=1)]
    training_seconds: Seconds
    last_metrics: MetricsLine
    forward_passes_a_step: Passes


class CheckpointFacts(Record):
    """The facts stored in a checkpoint."""

    settings: Settings
    data: Checksum
    distance_weights: Checksum | None = None
    step: Count
    snapshots: list[SnapshotEntry]
    line: Annotated[MetricsLine | None, BeforeValidator(lambda line: line or None)]
    """The last line of metrics; None before the first."""
    parts: list[Part]
    follower: Settings | None = None
    """The target that follows for the mechanism, if there is one (`Run.follower`)."""
    metrics_bytes: Count
    """Length of metrics.jsonl at this checkpoint."""
    seconds: Seconds


class SampleSet(Record):
    """One sample set in samples.json."""

    key: Settings
    """What the set depends on."""
    snapshot_images: Count
    steps: Steps
    nfe: Nfe
    estimate_moves: list[float]
    """Squared changes of the estimate D between evaluations, (NFE - 1)."""
    file: Below
    sha256: Checksum
    seconds: Seconds
    provenance: Provenance


class Sampled(Record):
    """samples.json."""

    samples: Annotated[list[SampleSet], Field(min_length=1)]
    curve: list[SampleSet] = Field(default_factory=list)
    """Those of the curve (`Evaluation.curve`)."""


class Score(Record):
    """One row of scores.json: a metric of a sample set by a library."""

    snapshot_kimg: Annotated[float, Field(ge=0, le=1e12)]
    steps: Steps
    nfe: Nfe
    sampler: str
    library: str
    library_version: str | None = None
    features: str
    resize: str
    n: Count
    reference_n: Count
    reference_data: Checksum
    samples: Checksum
    seconds: Seconds
    metric: str
    value: Value
    spread_of_images: float | None = None
    """Standard deviation over bootstrap resamplings of the images."""


class Pair(Record):
    """A sample and its nearest image of the data."""

    sample: Count
    image: Count
    distance: Distance


class Nearest(Record):
    """The samples that come nearest to images of the data (`memorisation.nearest_in_data`)."""

    snapshot_images: Count
    steps: Steps
    share: Annotated[float, Field(ge=0, le=1)]
    """Share of samples within ``threshold`` of an image."""
    threshold: Distance
    samples: Count
    queries: Count | None = None
    """Number of images of the data from which the threshold is computed."""
    pairs: Annotated[list[Pair], Field(min_length=1)]


class Scored(Written):
    """scores.json."""

    run: str | None = None
    evaluation: Settings
    references: dict[str, Checksum]
    """Library -> SHA-256 of the reference features."""
    scores: Annotated[list[Score], Field(min_length=1)]
    nearest: Nearest
    curve: list[Score] = Field(default_factory=list)
    """The scores of the curve (`Evaluation.curve`)."""


class ResidualAt(Record):
    """The residual at one time of the grid."""

    index: float
    squared: float
    weighted: float


class Consistency(Written):
    """consistency.json: the cross-time residual of the last snapshot."""

    key: Settings
    """What the figures depend on."""
    images: Count | None = None
    yardstick: str | None = None
    """The TD preset used for the measurement."""
    residuals: Annotated[list[ResidualAt], Field(min_length=1)]
    mean: float
    weighted_mean: Value


class ClassifierReport(Written):
    """classifier.json."""

    test_accuracy: Annotated[float, Field(ge=0, le=1)]
    test_images: Count
    train_images: Count | None = None
    features: Count | None = None
    channels: Annotated[int, Field(ge=1, le=16)]
    classes: Annotated[int, Field(ge=1, le=1_000_000)]
    seed: int | None = None
    sha256: Checksum
    data: DataSummary | None = None


class Reference(Written):
    """The facts stored in a file of reference features."""

    library: str
    library_version: str
    features: str
    weights: str
    resize: str
    n: Images | None = None
    data: Checksum
    batch_size: int | None = None
    extracted_by: str


R = TypeVar("R", bound=Record)


def read_record(path: Path, made_by: str, shape: type[R]) -> R:
    """The content of a JSON file that the command ``made_by`` wrote.

    Raises
    ------
    TdbenchError
        If it is missing, is not JSON, or does not match ``shape``; the message names the first wrong key.
    """
    return checked_record(f"{path}", read_json(path, made_by), made_by, shape)


def checked_record(where: str, content: Any, made_by: str | None, shape: type[R]) -> R:
    """``content`` validated as ``shape``; raises like `read_record`."""
    try:
        return shape.model_validate(content)
    except (ValidationError, RecursionError) as error:
        first: Any = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "type": "missing"}
        key = ".".join(str(part)[:60] for part in first["loc"])
        said = "is missing" if first["type"] == "missing" else plain({**first, "loc": ()})
        raise TdbenchError(
            f"{where}: {f'{key}: ' if key else ''}{said}; damaged, or of another version: {advice.again(made_by)}"
        ) from error
