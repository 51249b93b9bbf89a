"""Settings of the objective that change over training: begin, and schedules of lambda and of the target's decay."""

from typing import Any

import pytest
from pydantic import ValidationError

from tdbench.diffusion.formulations.ct import CT
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.objectives.base import Baseline
from tdbench.diffusion.objectives.schedules import value_at
from tdbench.diffusion.objectives.targets import TargetEMA
from tdbench.diffusion.objectives.td import TD, TDSettings
from tdbench.validation import explain


def td(**settings: Any) -> TD:
    return TDSettings.model_validate(settings).resolved(EDM())


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 2.0), (0.1, 2.0), (0.2, 2.0), (0.35, 1.25), (0.5, 0.5), (0.9, 0.5), (1.0, 0.5)]
)
def test_a_schedule_is_a_line_between_its_points_and_constant_outside(share: float, value: float) -> None:
    assert value_at(((0.2, 2.0), (0.5, 0.5)), share) == pytest.approx(value)
    assert value_at(0.7, share) == 0.7


def test_lambda_is_that_of_the_share_of_training() -> None:
    found = td(**{"lambda": [[0, 2.0], [0.5, 0.1]]})
    late, early = found.at(0.75), found.at(0.25)
    assert isinstance(late, TD) and isinstance(early, TD)
    assert (early.lambda_, late.lambda_) == (pytest.approx(1.05), 0.1)
    with pytest.raises(ValueError, match="lambda is a schedule over training: use the objective that `at` returns"):
        found.losses(None, lambda *_: None, EDM(), *[None] * 3)  # type: ignore[arg-type]


def test_the_decay_is_that_of_the_share_of_training() -> None:
    target = td(target={"decay": [[0, 0.9], [1, 0.98]]}).target
    assert isinstance(target, TargetEMA)
    assert target.decay(1, 0.5, EDM()) == pytest.approx(0.94)


def test_before_begin_it_is_the_baseline() -> None:
    found = td(begin=0.75)
    assert found.at(0.7499) == Baseline() and found.at(0.7499).target_rule(EDM()) is None
    late = found.at(0.75)
    assert isinstance(late, TD) and late.begin == 0 and late.target_rule(EDM()) == found.target
    assert td(begin=1).at(0.999) == Baseline() and td(begin=1).target_rule(EDM()) is None
    plain = td()
    assert plain.at(0.0) is plain


def test_consistency_training_has_its_own_target_before_begin_too() -> None:
    ct = TDSettings.model_validate({"begin": 0.5}).resolved(CT())
    before = ct.at(0.2).target_rule(CT())
    assert before is not None and before.kind == "own"


@pytest.mark.parametrize("begin", [0, 0.3, 1])
def test_passes_are_expected_for_the_share_of_training(begin: float) -> None:
    whole, base = td().expected_passes(EDM(), 64), Baseline().expected_passes(EDM(), 64)
    assert td(begin=begin).expected_passes(EDM(), 64) == pytest.approx(begin * base + (1 - begin) * whole)


@pytest.mark.parametrize(
    ("settings", "dependent"),
    [
        ({}, False),
        ({"begin": 0.5}, True),
        ({"begin": 1}, False),
        ({"lambda": [[0, 1], [1, 0]]}, True),
        ({"target": {"decay": [[0, 0.9], [1, 0.99]]}}, True),
    ],
)
def test_what_depends_on_the_length_is_known(settings: dict[str, Any], dependent: bool) -> None:
    assert (td(**settings).length_dependence is not None) == dependent


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lambda": -1}, "lambda: -1: should be greater than or equal to 0"),
        ({"lambda": "much"}, "lambda: 'much': should be a valid number"),
        ({"lambda": [[0, 1], [0, 2]]}, "the shares of a schedule must increase without repetition"),
        ({"lambda": [[0, 1], [1.5, 2]]}, "should be less than or equal to 1"),
        ({"lambda": [[0, -1]]}, "should be greater than or equal to 0"),
        ({"lambda": [0.5, 0.1]}, "each point of a schedule is [share of training, value], such as [[0, 2.0]"),
        ({"lambda": []}, "should have at least 1 item"),
        ({"lambda": [[0, True]]}, "True"),
        ({"target": {"decay": [[0, 1.0]]}}, "should be less than 1"),
        ({"target": {"decay": 1.5}}, "should be less than 1"),
        ({"begin": 1.5}, "begin: 1.5: should be less than or equal to 1"),
        ({"begin": True}, "begin: True"),
    ],
)
def test_a_wrong_schedule_is_named_in_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TDSettings.model_validate(settings)
    lines = explain("mine.yaml", settings, raised.value)
    assert len(lines) == 1 and said in lines[0], lines
    key = next(iter(settings))
    assert lines[0].startswith(f"mine.yaml: {key}")
