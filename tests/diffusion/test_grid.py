import pytest
import torch
from pydantic import ValidationError

from tdbench.diffusion.grid import DiscreteGrid, GeometricGrid, KarrasGrid, LinearGrid, TimeGrid

GRID = KarrasGrid()


def test_ends_and_order() -> None:
    index = torch.arange(GRID.num_steps, dtype=torch.float64)
    sigma = GRID.time(index)
    assert sigma[0].item() == pytest.approx(80, rel=1e-12)
    assert sigma[-1].item() == pytest.approx(0.002, rel=1e-9)
    assert (sigma.diff() < 0).all()


def test_index_inverts_sigma_at_real_indices() -> None:
    index = torch.linspace(0, GRID.num_steps - 1, 101, dtype=torch.float64)
    torch.testing.assert_close(GRID.index(GRID.time(index)), index, rtol=0, atol=1e-10)


def test_behind_the_grid_levels_fall_to_zero_and_never_below() -> None:
    sigma = GRID.time(torch.tensor([17.0, 18.0, 21.0, 25.0, 100.0], dtype=torch.float64))
    assert (sigma.diff() <= 0).all() and sigma[2] > 0 and sigma[-1] == 0


def test_levels_of_a_budget_share_their_ends_whatever_the_budget() -> None:
    for steps in (1, 2, 3, 18, 40):
        levels = GRID.times(steps)
        assert len(levels) == steps
        assert levels[0].item() == pytest.approx(80, rel=1e-12)
        if steps > 1:
            assert levels[-1].item() == pytest.approx(0.002, rel=1e-9)


def test_refuses_an_upside_down_range() -> None:
    with pytest.raises(ValidationError, match="sigma_max 1 must exceed sigma_min 2"):
        KarrasGrid(sigma_min=2, sigma_max=1)


@pytest.mark.parametrize("grid", [KarrasGrid(), GeometricGrid(), LinearGrid(), DiscreteGrid()])
def test_every_grid_counts_towards_the_data_and_holds_what_lies_on_it(grid: TimeGrid) -> None:
    index = torch.linspace(0, grid.last, 101, dtype=torch.float64)
    time = grid.time(index)
    assert (time.diff() < 0).all()
    torch.testing.assert_close(grid.index(time), index, rtol=0, atol=1e-9)
    edge = torch.tensor([-0.1, 0.0, grid.last - 2.0, grid.last - 1.9], dtype=torch.float64)
    assert grid.holds(edge, 2.0).tolist() == [False, True, True, False]
    assert grid.times(1).tolist() == [grid.time(torch.zeros((), dtype=torch.float64)).item()]


def test_a_discrete_grid_gives_whole_steps_from_T_to_1() -> None:
    times = DiscreteGrid(num_steps=10).times(4)
    assert times.tolist() == [10, 7, 4, 1]
    with pytest.raises(ValueError, match="T = 10 has no 11 steps"):
        DiscreteGrid(num_steps=10).times(11)
