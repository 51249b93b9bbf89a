"""A run as described by plan.json."""

from dataclasses import dataclass

MOST_SETS = 1_000_000


@dataclass(frozen=True)
class Expected:
    """The names and the amount of work of a run; None for unknown values."""

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
    curve_sets: int = 0
    """Those of ``sample_sets`` that belong to the curve; they come last."""
    curve_images: int = 0
    """Samples in each."""
    curve_steps: tuple[int, ...] = ()

    @property
    def group(self) -> str:
        """Data set, formulation and objective."""
        return self.name.rpartition("-seed")[0] or self.name
