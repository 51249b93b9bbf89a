"""Non-leaking augmentation: geometric transformations of the training images, with labels for the network.

Karras et al. 2022 (EDM), appendix F.2, after Karras et al. 2020 ("Training generative adversarial networks with
limited data"), appendix B. Each image is transformed at random, and the network gets the transformation's parameters
as nine numbers beside the noise level. Sampled with nine zeros, it makes images that are not transformed.

Written from the papers. It differs from the published method in the resampling alone. There, images are padded,
doubled by the wavelet "sym6", read bilinearly and halved by it again. Here they are doubled and halved by the
interpolating filter that belongs to that wavelet (Deslauriers and Dubuc 1989: its autocorrelation), read bicubically,
and mirrored without limit at the centres of their border pixels. As with every such filter, values may go beyond
[-1, 1] at sharp edges.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Self

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from tdbench.errors import TdbenchError
from tdbench.settings import Parameters

AUGMENT_DIM = 9
"""Length of the augmentation labels."""

# Standard deviations (Karras et al. 2022, appendix F.2): of log2 of both scalings, and of the shift as a share of the
# image's width or height.
SCALE, ANISOTROPY, TRANSLATION = 0.2, 0.2, 0.125

_REACH = 6
"""Pixels to either side from which a value half-way between two pixels is interpolated."""
_MARGIN = 2 * _REACH - 1
"""Half-pixels beyond the image that halving looks at."""


class AugmentationSettings(Parameters):
    """How often images are transformed. The published recipes: 0.12 for CIFAR-10, 0.15 for 64x64."""

    probability: Annotated[
        float, Field(ge=0, le=1, description="of each transformation except the mirroring, independently")
    ] = 0.12
    mirror: Annotated[bool, Field(description="mirror half of all images, independent of the probability")] = True


@dataclass(frozen=True)
class Transforms:
    """Transformations of N images, in the order in which they act; float64 on the CPU, 0 where an image is left alone.

    Flip left to right, flip top to bottom, scale, turn, stretch along an axis while shrinking across it, shift.
    """

    x_flip: Tensor
    """(N,) 0 or 1."""
    y_flip: Tensor
    """(N,) 0 or 1."""
    scale: Tensor
    """(N,) the image grows by 2^(0.2 scale)."""
    angle: Tensor
    """(N,) rotation about the centre in radians, clockwise as one looks at it."""
    anisotropy: Tensor
    """(N,) the image grows by 2^(0.2 anisotropy) along an axis and shrinks by as much across it."""
    axis: Tensor
    """(N,) angle of that axis to the image's rows in radians, clockwise."""
    shift: Tensor
    """(N, 2) to the right and down, in units of 0.125 of width and height."""

    def part(self, images: slice) -> Self:
        """Those of some of the images."""
        return type(self)(*(drawn[images] for drawn in vars(self).values()))

    def labels_for(self, images: Tensor) -> Tensor:
        """`labels` in the precision and on the device of ``images``."""
        return _on(self.labels(), images)

    def labels(self) -> Tensor:
        """(N, 9) augmentation labels for the network: zeros for an unchanged image."""
        columns = [self.x_flip, self.y_flip, self.scale, self.angle.cos() - 1, self.angle.sin()]
        columns += [self.anisotropy * self.axis.cos(), self.anisotropy * self.axis.sin(), *self.shift.T]
        return torch.stack(columns, dim=1)

    def moved(self) -> Tensor:
        """(N,) whether more is done than flipping, so that the image has to be resampled."""
        return (self.scale != 0) | (self.angle != 0) | (self.anisotropy != 0) | (self.shift != 0).any(dim=1)

    def inverse(self) -> Tensor:
        """(N, 2, 2) from a place in the result, the shift undone, to that in the source; (x, y) from the centre."""
        scaling = _diagonal(-SCALE * self.scale, -SCALE * self.scale)
        stretch = _diagonal(-ANISOTROPY * self.anisotropy, ANISOTROPY * self.anisotropy)
        return scaling @ _rotation(-self.angle) @ _rotation(self.axis) @ stretch @ _rotation(-self.axis)


def draw_transforms(count: int, settings: AugmentationSettings, generator: torch.Generator) -> Transforms:
    """Draw the transformations of ``count`` images (Karras et al. 2022, appendix F.2).

    The generator, on the CPU, gives the same numbers for all settings, which only choose which are used.
    """
    uniform, gauss = (partial(draw, generator=generator, dtype=torch.float64) for draw in (torch.rand, torch.randn))
    chosen = (uniform(count, 5) < settings.probability).double()
    flips = (uniform(count, 2) < 0.5).double()
    turns = math.pi * (2 * uniform(count, 2) - 1)
    normal = gauss(count, 4)
    return Transforms(
        x_flip=flips[:, 0] * settings.mirror,
        y_flip=flips[:, 1] * chosen[:, 0],
        scale=normal[:, 0] * chosen[:, 1],
        angle=turns[:, 0] * chosen[:, 2],
        anisotropy=normal[:, 1] * chosen[:, 3],
        axis=turns[:, 1] * chosen[:, 3],
        shift=normal[:, 2:] * chosen[:, 4:],
    )


def apply_transforms(images: Tensor, transforms: Transforms) -> Tensor:
    """Transform each of the images (N, C, H, W) in its way; an image that is left alone keeps its bits.

    Raises
    ------
    TdbenchError
        If the images are smaller than 6x6 and have to be resampled.
    """
    for flip, axis in ((transforms.x_flip, 3), (transforms.y_flip, 2)):
        flipped = (flip != 0).to(images.device, non_blocking=True)
        images = torch.where(flipped[:, None, None, None], images.flip(axis), images)
    moved = transforms.moved()
    if moved.any():
        chosen = moved.nonzero().flatten().to(images.device, non_blocking=True)
        resampled = _resample(images[chosen], transforms.inverse()[moved], transforms.shift[moved])
        images = images.index_copy(0, chosen, resampled)
    return images


@torch.no_grad()
def augment(images: Tensor, settings: AugmentationSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Randomly transformed images, and their augmentation labels.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W) in [-1, 1], on any device.
    generator : torch.Generator
        On the CPU, so that all devices get the same transformations.

    Returns
    -------
    images : Tensor
        (N, C, H, W).
    labels : Tensor
        (N, 9).
    """
    transforms = draw_transforms(images.shape[0], settings, generator)
    return apply_transforms(images, transforms), transforms.labels_for(images)


def _on(drawn: Tensor, images: Tensor) -> Tensor:
    """In the precision and on the device of ``images``, without blocking."""
    return drawn.to(images.device, images.dtype, non_blocking=True)


def _rotation(angle: Tensor) -> Tensor:
    """(N,) radians -> (N, 2, 2); clockwise, for y points down."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).reshape(-1, 2, 2)


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    """(N, 2, 2) scaling by 2^x and 2^y."""
    return torch.diag_embed(torch.stack([x, y], dim=1).exp2())


def _resample(images: Tensor, inverse: Tensor, shift: Tensor) -> Tensor:
    """Read the images (N, C, H, W) at places given by ``inverse`` (N, 2, 2) and ``shift`` (N, 2).

    All is done at twice the resolution, and then halved by a low-pass filter; on the images' device.
    """
    height, width = images.shape[2:]
    if min(height, width) < _REACH:
        raise TdbenchError(
            f"augmentation: images of {height}x{width} are too small; it needs {_REACH}x{_REACH} or more"
        )
    centre = torch.tensor([width - 1, height - 1], dtype=torch.float64) / 2
    # In units of grid_sample, in which -1 and 1 are the centres of the border pixels: grid = matrix @ place + offset.
    matrix = inverse / centre[:, None]
    offset = -(matrix @ (TRANSLATION * shift * torch.tensor([width, height]))[:, :, None])
    x, y = (torch.arange(1 - size - _MARGIN, size + _MARGIN, device=images.device) / 2 for size in (width, height))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).to(images.dtype)
    grid = places @ _on(matrix.mT, images)[:, None] + _on(offset.mT, images)[:, None]
    fine = _double(_double(images).mT).mT
    # Mirroring is grid_sample's: it has no limit, where padding could mirror only once.
    read = functional.grid_sample(fine, grid, mode="bicubic", padding_mode="reflection", align_corners=True)
    return _halve(_halve(read).mT).mT


def _midpoint() -> Tensor:
    """(12,) weights of the interpolation half-way between the two middle ones of twelve pixels.

    Lagrange's: exact for polynomials up to degree 11.
    """
    places = torch.arange(1 - _REACH, _REACH + 1, dtype=torch.float64)
    distances = places[:, None] - places
    factors = ((0.5 - places) / distances.fill_diagonal_(1.0)).fill_diagonal_(1.0)
    return factors.prod(dim=1)


def _double(x: Tensor) -> Tensor:
    """(..., L) -> (..., 2 L - 1): the values, and one interpolated between each two."""
    padded = functional.pad(x.flatten(0, -2)[:, None], (_REACH - 1, _REACH - 1), mode="reflect")
    between = functional.conv1d(padded, _on(_midpoint(), x)[None, None])
    result = x.new_empty(*x.shape[:-1], 2 * x.shape[-1] - 1)
    result[..., ::2] = x
    result[..., 1::2] = between.view(*x.shape[:-1], -1)
    return result


def _halve(x: Tensor) -> Tensor:
    """(..., 2 L - 1 + 22) -> (..., L): every second value, after a low-pass filter; it uses up the margin of 11."""
    taps = torch.zeros(2 * _MARGIN + 1, dtype=torch.float64)
    taps[::2], taps[_MARGIN] = _midpoint() / 2, 0.5
    halved = functional.conv1d(x.flatten(0, -2)[:, None], _on(taps, x)[None, None], stride=2)
    return halved.view(*x.shape[:-1], -1)
