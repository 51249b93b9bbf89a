import math
import sys
from types import SimpleNamespace

import pytest
import torch

from tdbench.diffusion.distances import DISTANCES
from tdbench.errors import TdbenchError

X, Y = torch.zeros(2, 1, 2, 2), torch.tensor([[3.0, 0, 0, 4], [1, 1, 1, 1]]).view(2, 1, 2, 2)


def test_by_hand() -> None:
    c = 0.00054 * 2
    expected = {
        "l2": [25 / 4, 1], "l1": [7 / 4, 1], "pseudo-huber": [math.sqrt(25 + c**2) - c, math.sqrt(4 + c**2) - c]
    }  # fmt: skip
    for name, values in expected.items():
        assert DISTANCES[name](X, Y).tolist() == pytest.approx(values)


def test_pseudo_huber_has_a_gradient_where_images_are_equal() -> None:
    x = X.clone().requires_grad_()
    DISTANCES["pseudo-huber"](x, X).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_lpips_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(TdbenchError, match=r"distance lpips: needs the package lpips; pip install"):
        DISTANCES["lpips"](torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32))


def test_lpips_without_its_weights_says_which_file_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=offline))
    with pytest.raises(TdbenchError, match=r"the VGG weights cannot be fetched \(no network\); put vgg16.* into .*hub"):
        DISTANCES["lpips"](torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32))
