"""floor-FEATURES-N.json: the floor of FID with N samples."""

from statistics import fmean, stdev
from typing import Annotated, Self

from pydantic import Field

from tdbench.records.schema import Value, Written
from tdbench.validation import Checksum, Count, Record


class Spread(Record):
    """Mean and spread of repeated draws."""

    mean: Value
    std: Annotated[float, Field(ge=0, le=1e100)]
    """Standard deviation (n - 1)."""
    draws: Annotated[int, Field(ge=2)]

    @classmethod
    def of(cls, values: list[float]) -> Self:
        """That of at least two values."""
        return cls(mean=fmean(values), std=stdev(values), draws=len(values))


class Floor(Record):
    """What perfect samplers score (`evaluation.floor`)."""

    library: str
    samples: Count
    images: Count
    """Images of the reference."""
    normal: Spread
    """Draws from the normal distribution with the moments of the reference."""
    data: Spread | None
    """Images of the data against the rest; None if there are too few."""

    @property
    def mean(self) -> float:
        """The larger of the two means."""
        return max(kind.mean for kind in self._kinds)

    @property
    def highest(self) -> float:
        """The score below which a sampler cannot be told from a perfect one: mean + 2 standard deviations."""
        return max(kind.mean + SPREADS * kind.std for kind in self._kinds)

    @property
    def _kinds(self) -> list[Spread]:
        return [self.normal] if self.data is None else [self.normal, self.data]


SPREADS = 2.0
"""Standard deviations that 95 % of perfect samplers lie within."""


class Floors(Written):
    """floor-FEATURES-N.json: the floor of FID with N samples, for each library."""

    floors: Annotated[list[Floor], Field(min_length=1)]
    references: dict[str, Checksum]
    """Library -> SHA-256 of the reference features."""
