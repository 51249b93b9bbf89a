"""Whether a training has flattened, by its own curve."""

from collections.abc import Callable

import numpy as np
import pytest

from tdbench.reporting.learning import FLATTENED, LEARNING, UNKNOWN, flattening

IMAGES = 25_600 * ((np.arange(1, 13) + 1) / 13) ** 2
END = float(IMAGES[-1])


def power(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: 10 * (x / END) ** -exponent


def to_a_constant(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """``share`` of the score at the end is still to go, and halves with every doubling."""
    return lambda x: 10 * (1 - share + share * (x / END) ** -1.0)


SHAPES = {
    "power, 30 %": power(-np.log2(0.70)),
    "power, 15 %": power(-np.log2(0.85)),
    "power, 3 %": power(-np.log2(0.97)),
    "flat": power(0.0),
    "to a constant, 20 %": to_a_constant(0.4),
    "to a constant, 2 %": to_a_constant(0.04),
}


def improvement(shape: Callable[[np.ndarray], np.ndarray]) -> float:
    """What twice the length really improves."""
    return float(1 - shape(np.array(2 * END)) / shape(np.array(END)))


@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("noise", [0.01, 0.05])
@pytest.mark.parametrize("name", SHAPES)
def test_the_rule_is_wrong_in_at_most_five_percent(name: str, noise: float, seeds: int) -> None:
    """On curves of known shape and noise, "flattened" and "still learning" alike."""
    shape, rng, trials = SHAPES[name], np.random.default_rng(seeds), 400
    true = improvement(shape)
    wrong = 0
    for _ in range(trials):
        drawn = shape(IMAGES) * np.exp(0.1 * rng.standard_normal((seeds, 1)) + noise * rng.standard_normal((seeds, 12)))
        found = flattening(IMAGES, drawn)
        assert found is not None
        wrong += found.status == (FLATTENED if true >= 0.10 else LEARNING)
    # The share itself is known to one in a hundred from so many trials.
    assert wrong / trials <= 0.05 + 0.015


def test_little_noise_gives_the_answer() -> None:
    """Not only "not shown": the rule would be of no use."""
    for name, expected in {"power, 30 %": LEARNING, "power, 3 %": FLATTENED, "flat": FLATTENED}.items():
        rng = np.random.default_rng(3)
        drawn = [SHAPES[name](IMAGES) * np.exp(0.01 * rng.standard_normal((3, 12))) for _ in range(50)]
        found = [flattening(IMAGES, values) for values in drawn]
        assert np.mean([f is not None and f.status == expected for f in found]) > 0.95


def test_of_a_power_the_extrapolation_is_exact() -> None:
    found = flattening(IMAGES, np.stack([SHAPES["power, 15 %"](IMAGES)] * 2))
    assert found is not None and found.improvement == pytest.approx(0.15) and found.status == LEARNING
    assert found.low == pytest.approx(found.high)


def test_noise_leaves_it_open_and_few_points_say_nothing() -> None:
    rng = np.random.default_rng(4)
    found = [flattening(IMAGES, 10 * np.exp(0.3 * rng.standard_normal((1, 12)))) for _ in range(100)]
    assert np.mean([f is not None and f.status == UNKNOWN for f in found]) > 0.8
    assert flattening(IMAGES[:3], np.ones((2, 3))) is None


def test_scores_that_are_not_positive_or_should_rise_are_judged_by_their_change() -> None:
    kid = np.linspace(0.5, -0.1, 12)[None]
    found = flattening(IMAGES, kid, "kid")
    assert found is not None and found.status == LEARNING
    rising = 0.5 + 0.3 * np.log2(IMAGES / END)[None] / 10
    found = flattening(IMAGES, rising, "precision")
    assert found is not None and found.improvement == pytest.approx(0.03 / 0.5, rel=1e-6) and found.status == FLATTENED
