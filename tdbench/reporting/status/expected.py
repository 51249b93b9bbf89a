"""A run as plan.json has it, and numbers from files that may be damaged."""

from dataclasses import dataclass
from typing import Any

MOST_SETS = 1_000_000
_LARGEST = 1e15
"""No count and no time of ours is larger; another one is damage, and would overflow somewhere."""


@dataclass(frozen=True)
class Expected:
    """A run as the plan has it; what is not known is None."""

    experiment: str
    name: str
    weights_name: str
    network: str | None = None
    sampler: str | None = None
    training_images: int | None = None
    sample_sets: int | None = None
    set_images: int | None = None
    steps: tuple[int, ...] = ()
    score_sets: int | None = None

    @property
    def group(self) -> str:
        """Data set, formulation and objective."""
        return self.name.rpartition("-seed")[0] or self.name


def number(value: Any) -> float | None:
    """A finite number, or None for all else that a damaged file may hold."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST
    return value if usable else None
