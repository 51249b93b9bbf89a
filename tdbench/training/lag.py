"""How far a target lags behind the trained network: both are kept at the end of a training.

A training with a target has one. In a baseline's, a target follows that no loss evaluates (`Run.follower`).
"""

import math

from tdbench.diffusion.objectives.targets import Target, TargetEMA
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.records.schema import NetworksEntry
from tdbench.records.weights import save_networks
from tdbench.training.state import TrainingState

_TIME_CONSTANTS = 12
"""Steps before the end at which a follower starts as a copy, in time constants of an average: what it forgets is
exp(-12)."""


def follow(run: Run, state: TrainingState, step: int) -> None:
    """Let the follower of a training follow step ``step`` (from 0), up to the end of the run."""
    rule = run.follower
    if state.follower is None or rule is None or step >= run.training.steps:
        return
    begin = _begin(rule, run.training.steps)
    if step < begin:
        return
    kept = 0.0 if step == begin else rule.decay(step + 1, step / run.training.steps, run.formulation)
    if kept < 1:
        state.follower.update(kept)


def _begin(rule: Target, steps: int) -> int:
    """The step after which a follower starts as a copy; before, it costs nothing."""
    if isinstance(rule, TargetEMA) and isinstance(rule.decay_, float):
        return max(steps - math.ceil(_TIME_CONSTANTS / (1 - rule.decay_)), 0)
    return 0


def keep_networks(run: Run, state: TrainingState, layout: RunLayout) -> NetworksEntry | None:
    """Write the trained network and its target, if the mechanism of the run is measured and there is a target."""
    rule = run.objective.target_rule(run.formulation) or run.follower
    target = state.target or state.follower
    if run.mechanism_td is None or rule is None or target is None:
        return None
    checksum = save_networks(layout.networks, {"trained": state.denoiser, "target": target.network})
    return NetworksEntry(file=layout.networks.name, sha256=checksum, target=rule.model_dump(mode="json", by_alias=True))
