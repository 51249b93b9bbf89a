"""A run as plan.json has it."""

from dataclasses import dataclass

MOST_SETS = 1_000_000


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
