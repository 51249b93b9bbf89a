"""Values that change over training: a number, or points by share of training with straight lines between them."""

import itertools
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, TypeAdapter

Points = tuple[tuple[float, float], ...]
"""(share of training in [0, 1], value), by rising share."""
Schedule = float | Points
"""A constant, or the points of a line. Before the first point and after the last one the value is theirs."""


def scheduled(**bounds: float) -> BeforeValidator:
    """A validator of a `Schedule` whose values have the bounds of pydantic's Field, such as ``ge=0``."""
    value = Annotated[float, Field(allow_inf_nan=False, **bounds)]
    share = Annotated[float, Field(ge=0, le=1)]
    number: TypeAdapter[float] = TypeAdapter(value)
    points: TypeAdapter[Points] = TypeAdapter(Annotated[tuple[tuple[share, value], ...], Field(min_length=1)])
    return BeforeValidator(_checker(number, points))


def _checker(number: TypeAdapter[float], points: TypeAdapter[Points]) -> Callable[[Any], Schedule]:
    def check(value: Any) -> Schedule:
        if not isinstance(value, list | tuple):
            return number.validate_python(value)
        if not all(isinstance(point, list | tuple) and len(point) == 2 for point in value):
            raise ValueError("each point of a schedule is [share of training, value], such as [[0, 2.0], [0.5, 0.1]]")
        found = points.validate_python(value)
        shares = [share for share, _ in found]
        if any(a >= b for a, b in itertools.pairwise(shares)):
            raise ValueError("the shares of a schedule must increase without repetition")
        return found

    return check


def value_at(schedule: Schedule, share: float) -> float:
    """The value at a share of training."""
    if isinstance(schedule, tuple):
        shares, values = zip(*schedule, strict=True)
        return float(np.interp(share, shares, values))
    return schedule


def constant(schedule: Schedule, name: str) -> float:
    """The value of a schedule that is a number.

    Raises
    ------
    ValueError
        If it is not; ``name`` is the setting's.
    """
    if isinstance(schedule, tuple):
        raise ValueError(f"{name} is a schedule over training: use the objective that `at` returns")
    return schedule
