import pytest
import torch
from torch import nn

from tdbench.training.ema import AveragedNetwork, half_life_decay


def test_an_old_weight_counts_half_after_its_half_life() -> None:
    decay = half_life_decay(batch_size=50, half_life_images=1000, images_shown=10**6, rampup_ratio=0.05)
    assert decay ** (1000 / 50) == pytest.approx(0.5)


def test_ramp_up_shortens_the_half_life_early() -> None:
    early = half_life_decay(50, 1000, images_shown=2000, rampup_ratio=0.05)
    assert early ** (100 / 50) == pytest.approx(0.5)
    assert half_life_decay(50, 1000, 0, 0.05) == 0
    assert half_life_decay(50, 1000, 0, None) == half_life_decay(50, 1000, 10**9, 0.05)


def test_average_follows_the_network_by_the_recursion() -> None:
    network = nn.Linear(3, 2)
    average = AveragedNetwork(network)
    expected = network.weight.detach().clone()
    for decay in (0.9, 0.5):
        with torch.no_grad():
            network.weight.add_(1)
        average.update(decay)
        expected = decay * expected + (1 - decay) * network.weight.detach()
    torch.testing.assert_close(average.network.weight, expected)
    assert not average.network.weight.requires_grad and not average.network.training
