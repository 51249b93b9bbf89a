import math

import pytest
import torch
from torch import Tensor, nn

from tdbench.diffusion import distances
from tdbench.diffusion.distances import DISTANCES, use_lpips

X, Y = torch.zeros(2, 1, 2, 2), torch.tensor([[3.0, 0, 0, 4], [1, 1, 1, 1]]).view(2, 1, 2, 2)


def test_by_hand() -> None:
    c = 0.00054 * 2
    expected = {
        "l2": [25 / 4, 1],
        "l1": [7 / 4, 1],
        "pseudo-huber": [math.sqrt(25 + c**2) - c, math.sqrt(4 + c**2) - c],
    }
    for name, values in expected.items():
        assert DISTANCES[name](X, Y).tolist() == pytest.approx(values)


def test_pseudo_huber_has_a_gradient_where_images_are_equal() -> None:
    x = X.clone().requires_grad_()
    DISTANCES["pseudo-huber"](x, X).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_lpips_enlarges_grey_images_and_calls_the_network_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            assert x.shape == y.shape == (2, 3, 224, 224)
            return (x - y).mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr(distances, "_networks", {})
    use_lpips(Mean())
    assert DISTANCES["lpips"](X, X + 1).tolist() == pytest.approx([-1, -1])
