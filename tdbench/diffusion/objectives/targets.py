"""How a target network follows the trained one."""

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.objectives.schedules import Schedule, scheduled, value_at
from tdbench.settings import Parameters


class _Target(Parameters):
    @abstractmethod
    def decay(self, step: int, fraction: float, formulation: Formulation) -> float:
        """Share of the old target that is kept after step ``step`` (from 1), at a share of training.

        1 leaves the target as it is, 0 makes it a copy of the trained network.
        """


class TargetEMA(_Target):
    """An exponential moving average of the trained network, updated every step."""

    kind: Literal["ema"] = "ema"
    decay_: Annotated[
        Annotated[Schedule, scheduled(ge=0, lt=1)],
        Field(alias="decay", description="share of the old target kept a step; or a schedule over training"),
    ] = 0.999

    def decay(self, step: int, fraction: float, formulation: Formulation) -> float:
        return value_at(self.decay_, fraction)


class TargetHard(_Target):
    """A copy of the trained network, renewed every ``period`` steps."""

    kind: Literal["hard"] = "hard"
    period: Annotated[int, Field(ge=1, description="steps from copy to copy")] = 100

    def decay(self, step: int, fraction: float, formulation: Formulation) -> float:
        return 0.0 if step % self.period == 0 else 1.0


class TargetOnline(_Target):
    """The trained network itself, without gradient."""

    kind: Literal["online"] = "online"

    def decay(self, step: int, fraction: float, formulation: Formulation) -> float:
        return 0.0


class TargetOwn(_Target):
    """The target that the formulation's own loss compares with (CT): no further network is evaluated."""

    kind: Literal["own"] = "own"

    def decay(self, step: int, fraction: float, formulation: Formulation) -> float:
        return formulation.target_decay(fraction)


def _ema_unless_said(value: Any) -> Any:
    """``online`` means ``{kind: online}``, and ``{decay: 0.99}`` an average."""
    if isinstance(value, str):
        return {"kind": value}
    return {"kind": "ema", **value} if isinstance(value, dict) else value


Target = Annotated[
    TargetEMA | TargetHard | TargetOnline | TargetOwn,
    Field(discriminator="kind"),
    BeforeValidator(_ema_unless_said),
]
