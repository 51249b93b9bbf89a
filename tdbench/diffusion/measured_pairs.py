"""Pairs of points at fixed times of the grid, where networks are measured."""

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.objectives.td import TD, Pair, draw_pair


def spread_times(formulation: Formulation, td: TD, points: int) -> list[float]:
    """Indices of ``points`` times spaced evenly on the grid, those with a pair; fewer where indices are whole."""
    indices = torch.linspace(0, formulation.grid.last - td.span - td.stride, points, dtype=torch.float64)
    if formulation.whole_indices:
        indices = indices.round().unique()
    return [float(index) for index in indices]


def pair_at(formulation: Formulation, td: TD, x0: Tensor, index: float, source: torch.Generator) -> Pair:
    """The pair of each image at the same time.

    Parameters
    ----------
    x0 : Tensor
        (N, C, H, W) images in [-1, 1].
    index : float
        Of the time, counted towards the data.
    source : torch.Generator
        On the CPU; gives the noise of the images, then what differs at the second point.
    """
    t = formulation.grid.time(torch.full((len(x0), 1, 1, 1), index, dtype=torch.float64))
    noise, other = (torch.randn(x0.shape, generator=source).to(x0) for _ in range(2))
    return draw_pair(formulation, td, x0, t, noise, other)
