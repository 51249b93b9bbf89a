"""Augmentation: what is told to the network is what was done to the image."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tdbench.errors import TdbenchError
from tdbench.training.augmentation import (
    AUGMENT_DIM,
    AugmentationSettings,
    Transforms,
    apply_transforms,
    augment,
    draw_transforms,
)

SIZES = [(1, 8), (3, 32)]


def pictures(count: int, channels: int, size: int, seed: int = 0) -> Tensor:
    """Noise in [-1, 1], with all frequencies."""
    return 2 * torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) - 1


def smooth(size: int) -> Tensor:
    """(1, 1, S, S) without symmetry and without high frequencies."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size, dtype=torch.float64)] * 2, indexing="ij")
    bumps = torch.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.15) - torch.exp(-((x + 0.4) ** 2 + (y - 0.3) ** 2) / 0.2)
    return bumps[None, None]


def only(**parameters: Any) -> Transforms:
    """The transformation of one image, neutral but for ``parameters``."""
    neutral = dict.fromkeys(("x_flip", "y_flip", "scale", "angle", "anisotropy", "axis"), 0.0) | {"shift": (0.0, 0.0)}
    return Transforms(**{k: torch.tensor([v], dtype=torch.float64) for k, v in (neutral | parameters).items()})


def drawn(settings: AugmentationSettings, count: int, seed: int = 0) -> Transforms:
    return draw_transforms(count, settings, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_without_probability_nothing_is_touched(channels: int, size: int) -> None:
    images = pictures(64, channels, size)
    settings = AugmentationSettings(probability=0, mirror=False)
    result, labels = augment(images, settings, torch.Generator().manual_seed(1))
    assert torch.equal(result, images)
    assert torch.equal(labels, torch.zeros(64, AUGMENT_DIM))


@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_a_label_of_one_is_the_mirrored_image(channels: int, size: int) -> None:
    images = pictures(64, channels, size)
    result, labels = augment(images, AugmentationSettings(probability=0), torch.Generator().manual_seed(1))
    mirrored = labels[:, 0] == 1
    assert 16 < mirrored.sum() < 48 and not labels[:, 1:].any() and set(labels[:, 0].tolist()) == {0, 1}
    assert torch.equal(result[mirrored], images[mirrored].flip(3))
    assert torch.equal(result[~mirrored], images[~mirrored])


def test_both_flips_are_exact() -> None:
    images = pictures(1, 3, 32)
    assert torch.equal(apply_transforms(images, only(y_flip=1.0)), images.flip(2))
    assert torch.equal(apply_transforms(images, only(x_flip=1.0, y_flip=1.0)), images.flip(2, 3))


@pytest.mark.parametrize("size", [8, 32])
def test_a_quarter_turn(size: int) -> None:
    image = smooth(size)
    turned = apply_transforms(image, only(angle=math.pi / 2))
    expected = torch.rot90(image, -1, (2, 3))  # which turns counterclockwise
    # At the border the mirrored image has a kink, which the low-pass filter rounds off.
    torch.testing.assert_close(turned, expected, rtol=0, atol={8: 0.02, 32: 5e-3}[size])
    inside = slice(size // 4, -size // 4)
    inner = {8: 0.02, 32: 1e-5}[size]
    torch.testing.assert_close(turned[..., inside, inside], expected[..., inside, inside], rtol=0, atol=inner)
    assert (turned - torch.rot90(image, 1, (2, 3))).abs().max() > 0.5


def test_a_shift_by_whole_pixels_rolls_and_mirrors_at_the_border() -> None:
    image = smooth(32)
    right, down = 3, -5
    shifted = apply_transforms(image, only(shift=(right / (32 * 0.125), down / (32 * 0.125))))
    rolled = torch.roll(image, (down, right), (2, 3))
    torch.testing.assert_close(shifted[..., 8:19, 11:24], rolled[..., 8:19, 11:24], rtol=0, atol=1e-5)
    torch.testing.assert_close(shifted[..., :27, 3:], rolled[..., :27, 3:], rtol=0, atol=5e-3)
    # Pixel -k is pixel k, as in torch's mode "reflect".
    torch.testing.assert_close(shifted[..., :27, :3], image[..., 5:, 1:4].flip(3), rtol=0, atol=5e-3)
    torch.testing.assert_close(shifted[..., 27:, 3:], image[..., 26:31, :29].flip(2), rtol=0, atol=5e-3)


def test_scaling_and_stretching_move_a_bump_as_they_should() -> None:
    """The centre and width of a Gaussian follow the transformation, in the order that is documented."""
    size, centre = 64, 31.5
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - centre] * 2, indexing="ij")
    image = torch.exp(-((x - 8) ** 2 + y**2) / (2 * 3.0**2))[None, None]

    def moments(result: Tensor) -> tuple[float, float, float, float]:
        weight = result[0, 0] / result.sum()
        mx, my = float((weight * x).sum()), float((weight * y).sum())
        return mx, my, float((weight * (x - mx) ** 2).sum().sqrt()), float((weight * (y - my) ** 2).sum().sqrt())

    assert moments(image) == pytest.approx((8, 0, 3, 3), abs=0.01)
    grown = 2**0.2
    scaled = moments(apply_transforms(image, only(scale=1.0)))
    assert scaled == pytest.approx((8 * grown, 0, 3 * grown, 3 * grown), abs=0.02)
    stretched = moments(apply_transforms(image, only(anisotropy=1.0)))
    assert stretched == pytest.approx((8 * grown, 0, 3 * grown, 3 / grown), abs=0.02)
    across = moments(apply_transforms(image, only(anisotropy=1.0, axis=math.pi / 2)))
    assert across == pytest.approx((8 / grown, 0, 3 / grown, 3 * grown), abs=0.02)
    # First turned down, then stretched along the rows, then shifted.
    both = only(angle=math.pi / 2, anisotropy=1.0, shift=(0.5, -0.25))
    expected = (0.5 * 8, 8 / grown - 2, 3 * grown, 3 / grown)
    assert moments(apply_transforms(image, both)) == pytest.approx(expected, abs=0.02)


def test_labels_say_what_was_done() -> None:
    turned = {"angle": math.pi / 2, "anisotropy": 2.0, "axis": math.pi / 6}
    labels = only(x_flip=1.0, scale=0.5, shift=(0.3, -0.4), **turned).labels()
    expected = [[1, 0, 0.5, -1, 1, math.sqrt(3), 1, 0.3, -0.4]]
    torch.testing.assert_close(labels, torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(only().labels(), torch.zeros(1, AUGMENT_DIM, dtype=torch.float64))


def test_each_transformation_touches_its_share() -> None:
    count, p = 20_000, 0.12
    t = drawn(AugmentationSettings(probability=p), count)
    shares = {
        "scale": (t.scale != 0, p),
        "angle": (t.angle != 0, p),
        "anisotropy": (t.anisotropy != 0, p),
        "shift": ((t.shift != 0).all(dim=1), p),
        "y_flip": (t.y_flip != 0, p / 2),
        "x_flip": (t.x_flip != 0, 0.5),
        "moved": (t.moved(), 1 - (1 - p) ** 4),
    }
    for name, (touched, share) in shares.items():
        deviation = math.sqrt(share * (1 - share) / count)
        assert float(touched.double().mean()) == pytest.approx(share, abs=4 * deviation), name
    assert float(t.scale[t.scale != 0].std()) == pytest.approx(1, abs=0.06)
    assert float(t.angle.abs().max()) <= math.pi and float(t.angle[t.angle != 0].std()) == pytest.approx(
        math.pi / math.sqrt(3), abs=0.06
    )


def test_images_and_labels_tell_the_same_of_who_is_touched() -> None:
    images = pictures(256, 1, 8)
    result, labels = augment(images, AugmentationSettings(probability=0.15), torch.Generator().manual_seed(3))
    touched = (result != images).flatten(1).any(dim=1)
    assert torch.equal(touched, labels.any(dim=1)) and 0 < touched.sum() < 256


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "size"), SIZES)
def test_brightness_is_kept(channels: int, size: int) -> None:
    settings = AugmentationSettings(probability=1)
    grey = torch.full((32, channels, size, size), 0.3)
    result, labels = augment(grey, settings, torch.Generator().manual_seed(0))
    assert labels[:, 2:].any(dim=1).all()
    torch.testing.assert_close(result, grey)
    images = pictures(500, channels, size) + 0.3
    result, _ = augment(images, settings, torch.Generator().manual_seed(0))
    assert float(result.mean()) == pytest.approx(float(images.mean()), abs=0.01)


def test_the_generator_decides_and_settings_only_choose() -> None:
    images = pictures(64, 3, 8)
    settings = AugmentationSettings(probability=0.5)
    one, two, other = (augment(images, settings, torch.Generator().manual_seed(s)) for s in (5, 5, 6))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and not torch.equal(one[1], other[1])
    rare, frequent = (drawn(AugmentationSettings(probability=p), 1000) for p in (0.1, 0.9))
    used = rare.scale != 0
    assert used.any() and torch.equal(rare.scale[used], frequent.scale[used])
    assert torch.equal(rare.x_flip, frequent.x_flip)


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = pictures(16, 3, 8)
    t = drawn(AugmentationSettings(probability=0.6), 16)
    together = apply_transforms(images, t)
    for k in range(16):
        alone = Transforms(**{name: value[k : k + 1] for name, value in vars(t).items()})
        torch.testing.assert_close(apply_transforms(images[k : k + 1], alone), together[k : k + 1])


def test_images_of_any_type_and_shape() -> None:
    tall = pictures(4, 2, 12)[..., :8].double()
    result, labels = augment(tall, AugmentationSettings(probability=1), torch.Generator().manual_seed(0))
    assert result.shape == tall.shape and result.dtype == labels.dtype == torch.float64
    with pytest.raises(TdbenchError, match=r"images of 2x2 are too small"):
        augment(tall[..., :2, :2], AugmentationSettings(probability=1), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_is_one(probability: float) -> None:
    with pytest.raises(ValidationError, match="probability"):
        AugmentationSettings(probability=probability)
