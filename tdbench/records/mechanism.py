"""The record of the mechanism of the temporal difference: mechanism.json of a run."""

from typing import Annotated

from pydantic import Field

from tdbench.records.schema import Distance, Images, Settings, Value, Written
from tdbench.validation import Count, Record


class Noise(Record):
    """The noise of a gradient over batches."""

    variance: Distance
    squared_mean: float
    """Without bias; it may be negative."""


class MechanismTime(Record):
    """The mechanism at one time of the grid; see `diffusion.mechanism.MechanismAt`."""

    index: float
    noise_level: Distance
    share: Annotated[float, Field(ge=0, le=1)]
    valid: Annotated[float, Field(ge=0, le=1)]
    variance: Distance
    correlation: Value
    beta: Value
    best_beta: Value
    remaining: Distance
    size: Value
    lag: Distance | None = None
    noise: Noise | None = None
    noise_td: Noise | None = None


class Mechanism(Written):
    """mechanism.json: what the temporal difference does to the gradient of a run, at the end of its training."""

    key: Settings
    """What the figures depend on."""
    images: Count
    batch_size: Images
    times: Annotated[list[MechanismTime], Field(min_length=1)]
