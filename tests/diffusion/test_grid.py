import pytest
import torch
from pydantic import ValidationError

from tdbench.diffusion.grid import KarrasGrid

GRID = KarrasGrid()


def test_ends_and_order() -> None:
    index = torch.arange(GRID.num_steps, dtype=torch.float64)
    sigma = GRID.sigma(index)
    assert sigma[0].item() == pytest.approx(80, rel=1e-12)
    assert sigma[-1].item() == pytest.approx(0.002, rel=1e-9)
    assert (sigma.diff() < 0).all()


def test_index_inverts_sigma_at_real_indices() -> None:
    index = torch.linspace(0, GRID.num_steps - 1, 101, dtype=torch.float64)
    torch.testing.assert_close(GRID.index(GRID.sigma(index)), index, rtol=0, atol=1e-10)


def test_behind_the_grid_levels_fall_to_zero_and_never_below() -> None:
    sigma = GRID.sigma(torch.tensor([17.0, 18.0, 21.0, 25.0, 100.0], dtype=torch.float64))
    assert (sigma.diff() <= 0).all() and sigma[2] > 0 and sigma[-1] == 0


def test_levels_of_a_budget_share_their_ends_whatever_the_budget() -> None:
    for steps in (1, 2, 3, 18, 40):
        levels = GRID.levels(steps)
        assert len(levels) == steps + 1
        assert levels[0].item() == pytest.approx(80, rel=1e-12) and levels[-1] == 0
        if steps > 1:
            assert levels[-2].item() == pytest.approx(0.002, rel=1e-9)


def test_refuses_an_upside_down_range() -> None:
    with pytest.raises(ValidationError, match="sigma_max 1 must exceed sigma_min 2"):
        KarrasGrid(sigma_min=2, sigma_max=1)
