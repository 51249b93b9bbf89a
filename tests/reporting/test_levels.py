"""Speed-ups: passes until a level of the baseline's curve is reached."""

import math

import numpy as np
import pytest

from tdbench.reporting.levels import LEAST_SEEDS, Side, crossing, level_at, smooth, speed_up

POINTS = 3e6 * ((np.arange(1, 13) + 1) / 13) ** 2
LONGER = 3e6 * ((np.arange(1, 15) + 1) / 13) ** 2


def curve(
    rng: np.random.Generator, points: np.ndarray, seeds: np.ndarray, speed: float = 1.0, noise: float = 0.04
) -> np.ndarray:
    """(S, P) scores that fall as a power towards a floor; ``seeds`` (S,) are factors that both sides share."""
    exact = 2 + 40 * (points * speed / 3e5) ** -0.9
    return exact * np.exp(seeds[:, None] + noise * rng.standard_normal((len(seeds), len(points))))


def test_of_curves_without_noise_the_speed_up_is_exact() -> None:
    rng, seeds = np.random.default_rng(0), np.zeros(5)
    fine = np.geomspace(2e4, 6e6, 400)
    base = Side(fine, curve(rng, fine, seeds, noise=0))
    quick = Side(fine, curve(rng, fine, seeds, speed=1.5, noise=0))
    for share in (0.5, 0.75, 1.0):
        found = speed_up(base, quick, share * 3e6)
        assert found.ratio == pytest.approx(1 / 1.5, rel=1e-3) and found.reached and not found.censored
        assert found.level == pytest.approx(2 + 40 * (share * 3e6 / 3e5) ** -0.9, rel=1e-3)
        assert found.baseline_passes == pytest.approx(share * 3e6, rel=1e-3)


def test_a_level_that_is_not_reached_is_said_and_bounded() -> None:
    rng, seeds = np.random.default_rng(1), np.zeros(3)
    base, slow = Side(POINTS, curve(rng, POINTS, seeds, noise=0)), Side(POINTS, curve(rng, POINTS, seeds, 0.5, noise=0))
    found = speed_up(base, slow, 3e6)
    assert not found.reached and math.isnan(found.objective_passes) and math.isnan(found.low)
    assert found.ratio == pytest.approx(1.0)


def test_few_seeds_have_a_range_and_more_an_interval() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, LEAST_SEEDS):
        seeds = 0.05 * rng.standard_normal(count)
        base, other = (Side(LONGER, curve(rng, LONGER, seeds, speed)) for speed in (1.0, 1.2))
        found = speed_up(base, other, 1.5e6)
        assert found.n == count and (math.isnan(found.low) == (count == 1))
        if count == 2:
            ratios = [speed_up(base.of(np.array([i])), other.of(np.array([i])), 1.5e6).ratio for i in (0, 1)]
            # The level is that of each seed's own baseline.
            assert (found.low, found.high) == pytest.approx((min(ratios), max(ratios)))


def test_a_curve_that_rises_again_has_not_lost_the_level() -> None:
    rising = Side(POINTS[:4], np.array([[8.0, 4.0, 6.0, 2.0]]))
    found = np.exp(smooth(rising, "fid"))
    assert (np.diff(found) <= 1e-12).all() and found[1] == pytest.approx(np.sqrt(24))
    assert crossing(rising, math.log(8.0), "fid") == POINTS[0]


def test_a_metric_of_which_higher_is_better_is_crossed_from_below() -> None:
    side = Side(POINTS[:3], np.array([[0.2, 0.4, 0.8]]))
    level = level_at(side, float(POINTS[1]), "precision")
    assert crossing(side, level, "precision") == pytest.approx(POINTS[1])
    assert speed_up(side, side, float(POINTS[1]), "precision").level == pytest.approx(0.4)


@pytest.mark.parametrize("count", [5, 8])
def test_the_interval_covers_the_true_speed_up(count: int) -> None:
    """Simulated: in 90 to 98 % of experiments, from five seeds on."""
    rng, hits, trials = np.random.default_rng(count), 0, 400
    for _ in range(trials):
        seeds = 0.05 * rng.standard_normal(count)
        base, other = (Side(LONGER, curve(rng, LONGER, seeds, speed)) for speed in (1.0, 1.3))
        found = speed_up(base, other, 1.5e6)
        assert found.reached
        hits += found.low <= 1 / 1.3 <= found.high
    assert 0.90 <= hits / trials <= 0.98
