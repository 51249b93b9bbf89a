"""Copies are found, and samples like the data are not taken for copies."""

import numpy as np
import pytest

from tdbench.evaluation.memorisation import NEAR, SAMPLES, SHOWN, nearest_in_data

DATA = np.random.default_rng(0).normal(size=(2500, 16))


def test_samples_like_the_data_are_rarely_near() -> None:
    shares = [nearest_in_data(np.random.default_rng(s).normal(size=(1500, 16)), DATA, 64, 4).share for s in (1, 2, 3)]
    assert np.mean(shares) == pytest.approx(NEAR, abs=0.007)


def test_copies_are_found_and_shown_once() -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(1200, 16))
    samples[100:200] = DATA[40:50].repeat(10, axis=0) + 1e-3 * rng.normal(size=(100, 16))
    found = nearest_in_data(samples, DATA, 64, 4)
    assert found.samples == SAMPLES and 0.1 <= found.share < 0.13
    assert {pair.image for pair in found.pairs} == set(range(40, 50)) and len(found.pairs) == SHOWN
    for pair in found.pairs:
        assert pair.image == 40 + (pair.sample - 100) // 10
        assert pair.distance == pytest.approx(np.linalg.norm(samples[pair.sample] - DATA[pair.image]))


def test_exact_copies_of_data_that_repeat_themselves() -> None:
    """Every image twice in the data: near means equal there, and only equal samples are near."""
    doubled = np.concatenate([DATA, DATA])
    found = nearest_in_data(np.concatenate([DATA[:10], DATA[10:20] + 0.1]), doubled, 64, 4)
    assert found.threshold == 0 and found.share == 0.5


def test_little_data_is_enough() -> None:
    found = nearest_in_data(DATA[:3] + 0.1, DATA[:4], 64, 4)
    assert found.queries == 4 and found.samples == 3 and len(found.pairs) == 3
