"""Which temporal difference's mechanism is measured with the weights of a run."""

from collections.abc import Iterable

from tdbench.diffusion.mechanism import td_at_the_end
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.objectives.td import TDSettings
from tdbench.experiment.equal_passes import key
from tdbench.experiment.run import Run


def with_mechanisms(comparison: tuple[Run, ...]) -> tuple[Run, ...]:
    """Set the objective whose mechanism is measured, for each run of the comparison that measures one."""
    return tuple(
        run
        if run.evaluation.mechanism is None
        else run.model_copy(update={"mechanism_td": mechanism_td_of(run, comparison, preset=False)})
        for run in comparison
    )


def mechanism_td_of(run: Run, others: Iterable[Run], preset: bool = True) -> Objective | None:
    """Return the temporal difference whose mechanism is measured with the weights of a run.

    It is the run's own objective; for a baseline the first one that is compared with it; else, with ``preset``, the
    paper's. None if none has pairs that are drawn as a Markov path.
    """
    candidates = [run.objective, *(other.objective for other in others if key(other) == key(run))]
    if preset and "paper" in run.formulation.td_presets:
        candidates.append(TDSettings(preset="paper").resolved(run.formulation))
    asked = candidates[:1] if run.objective.kind != "baseline" else candidates
    return next((objective for objective in asked if td_at_the_end(objective, 0.0) is not None), None)
