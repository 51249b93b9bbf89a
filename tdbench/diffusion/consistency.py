"""Cross-time consistency: what the temporal difference penalises, measured for any denoiser.

Two figures. The residual delta (`td`) of the denoiser with itself as its target, at points of the time grid; and how
far the estimate of the image moves from one evaluation of a sampler to the next.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation, per_image_mean
from tdbench.diffusion.measured_pairs import pair_at, spread_times
from tdbench.diffusion.objectives.td import TD, TDSettings, pair_coefficients, residual
from tdbench.diffusion.preconditioning import Condition, CountingDenoiser, DenoiserCall
from tdbench.diffusion.processes import like

YARDSTICK = "paper"
"""The settings of the temporal difference that all are measured by, independent of their training."""


@dataclass(frozen=True)
class Residual:
    """The residual at one time of the grid, means over images."""

    index: float
    """Of t, counted towards the data."""
    squared: float
    """||delta||^2, itself a mean over channels and pixels."""
    weighted: float
    """w ||delta||^2 with the yardstick's weight, which makes times comparable."""


def has_yardstick(formulation: Formulation) -> bool:
    """Whether the temporal difference has settings for the formulation that it can be measured by."""
    return YARDSTICK in formulation.td_presets


def residuals(
    denoiser: DenoiserCall,
    formulation: Formulation,
    x0: Tensor,
    condition: Condition,
    points: int,
    source: torch.Generator,
) -> list[Residual]:
    """The residual of a denoiser with itself, at ``points`` times spaced evenly on the grid.

    Parameters
    ----------
    denoiser : callable
        (x, t, condition) -> estimate of x0.
    formulation : Formulation
        As it is at the end of training; with `has_yardstick`.
    x0 : Tensor
        (N, C, H, W) images in [-1, 1].
    source : torch.Generator
        On the CPU; gives the noise, the same for every denoiser that is measured with one in the same state.

    Returns
    -------
    list of Residual
        One for each time, from the noisiest. Fewer if a grid of whole indices has fewer.
    """
    td = TDSettings(preset=YARDSTICK).resolved(formulation)
    indices = spread_times(formulation, td, points)
    return [_at(denoiser, formulation, td, x0, condition, index, source) for index in indices]


@torch.no_grad()
def _at(
    denoiser: DenoiserCall,
    formulation: Formulation,
    td: TD,
    x0: Tensor,
    condition: Condition,
    index: float,
    source: torch.Generator,
) -> Residual:
    pair = pair_at(formulation, td, x0, index, source)
    a, a_prime, weight = pair_coefficients(formulation, td, pair)
    points = ((pair.x_t, pair.t), (pair.x_prime, pair.times.t_prime))
    error, error_prime = (x0 - denoiser(x, at, condition) for x, at in points)
    squared = per_image_mean(residual(like(a, x0), error, like(a_prime, x0), error_prime) ** 2).double().cpu()
    return Residual(index, float(squared.mean()), float((weight.flatten() * squared).mean()))


class WatchedDenoiser(CountingDenoiser):
    """A denoiser that is watched along a sampler's path: how far its estimate moves between evaluations."""

    def __init__(self, denoiser: DenoiserCall) -> None:
        super().__init__(denoiser)
        self._last: Tensor | None = None
        self._moves: list[Tensor] = []

    def __call__(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        found = super().__call__(x, t, condition)
        if self._last is not None:
            # Read at the end of the path: reading waits for a GPU.
            self._moves.append((found - self._last).square().mean(dtype=torch.float64))
        self._last = found
        return found

    def moves(self) -> Tensor:
        """(NFE - 1,) float64 on the CPU: ||D_{i+1} - D_i||^2, means over images, channels and pixels."""
        return torch.stack(self._moves).cpu() if self._moves else torch.zeros(0, dtype=torch.float64)


IMAGES, POINTS = 128, 12
"""Images of the data, and times of the grid."""
