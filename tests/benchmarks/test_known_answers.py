"""The sets of `python -m benchmarks.known_answers`, and that it notices what is out of order."""

import numpy as np

from benchmarks.known_answers import out_of_order, spoilt
from tdbench.data.archive import ImageSet

NAMES = ("the other half", "noise 5", "noise 15")


def test_damage_rises_and_leaves_size_and_form(images: ImageSet) -> None:
    rest = np.random.default_rng(0).permutation(len(images.images))[:900]
    kinds, clean = spoilt(images, rest, 150), images.images[rest[:150]]
    for kind in ("noise", "blur"):
        away = [float(((spoilt_images - clean.astype(float)) ** 2).mean()) for _, spoilt_images in kinds[kind]]
        assert 0 < away[0] < away[1] < away[2]
    assert [name for name, _ in kinds["classes"]] == ["8 of 10 classes", "5 of 10 classes", "2 of 10 classes"]
    for entries in kinds.values():
        assert all(found.shape == clean.shape and found.dtype == np.uint8 for _, found in entries)
    kept = kinds["classes"][-1][1]
    known = images.images[images.labels < 2] if images.labels is not None else clean
    assert all((known == image).all(axis=(1, 2, 3)).any() for image in kept)


def rows(*values: tuple[float, float]) -> list[tuple[str, dict[str, float]]]:
    columns = ("FID, clean-fid", "FID, torch-fidelity", "KID, clean-fid", "KID, torch-fidelity")
    return [(name, dict(zip(columns, (*pair, *pair), strict=True))) for name, pair in zip(NAMES, values, strict=True)]


def test_what_is_out_of_order_is_named() -> None:
    kinds = {"noise": [(name, np.zeros(0)) for name in NAMES[1:]]}
    assert out_of_order(rows((1, 1), (2, 2), (3, 3)), kinds) == []
    found = out_of_order(rows((1, 1), (4, 2), (3, 3)), kinds)
    assert "FID, clean-fid: noise does not grow: [1, 4, 3]" in found
    assert any(line.startswith("FID: the libraries rank differently") for line in found)
    assert not any("torch-fidelity: noise" in line for line in found)
