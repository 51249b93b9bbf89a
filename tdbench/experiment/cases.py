"""What a plan compares besides its runs: the cases of an ablation, and baselines at equal passes."""

from typing import Any

from tdbench.settings import Parameters


class Case(Parameters):
    """One row of an ablation: the varied settings and the objective name of its runs."""

    settings: dict[str, Any]
    label: str
    dataset_name: str
    formulation_name: str
    objective_name: str


class EqualPasses(Parameters):
    """The baseline's training that costs as many passes through the networks as an objective's."""

    dataset_name: str
    formulation_name: str
    objective_name: str
    baseline_name: str
    """Objective name of the baseline's run to compare with."""
    kimg: float
    """Its length."""
    passes: float
    """Expected passes of the objective for each image shown: 1 forward, 2 backward."""
    baseline_passes: float
    """The baseline's."""
    separate: str | None
    """Why the longer baseline is trained by itself, and not as the continuation of the shorter one; None if it is not.
    """
