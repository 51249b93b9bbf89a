"""What each source takes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdbench.data.archive import write_archive
from tdbench.data.patches import read_patches
from tdbench.data.sources import SOURCES, check_source, read_source
from tdbench.errors import TdbenchError

SOME = Path("some")


@pytest.mark.parametrize(
    ("source", "path", "resolution"),
    [
        ("digits", None, None),
        ("cifar10", None, None),
        ("cifar10", SOME, None),
        ("folder", SOME, 16),
        ("ffhq", SOME, None),
        ("afhqv2", SOME, 32),
        ("archive", SOME, None),
        ("archive", SOME, 8),
        ("cifar10", None, 8),
        ("patches", None, None),
    ],
)
def test_settings_that_fit(source: str, path: Path | None, resolution: int | None) -> None:
    check_source(source, path, resolution)


@pytest.mark.parametrize(
    ("source", "path", "resolution", "words"),
    [
        ("mnist", None, None, "source 'mnist': no such data source; known: digits, archive, cifar10"),
        ("digits", SOME, None, "source digits: takes no path, got some"),
        ("digits", None, 8, "source digits: takes no resolution, since images stay as they are; got 8"),
        ("patches", None, 16, "source patches: takes no resolution"),
        ("archive", SOME, 1, "source archive: resolution 1: must be at least 2 and at most 9,459"),
        ("archive", None, None, "source archive: needs a path to a zip in EDM's format"),
        ("folder", None, 64, "source folder: needs a path to a folder of images"),
        ("folder", SOME, None, "source folder: needs a resolution"),
        ("folder", SOME, 0, "source folder: resolution 0: must be at least 2 and at most 9,459"),
        ("ffhq", None, None, "source ffhq: needs a path to a folder of the original images"),
    ],
)
def test_settings_that_do_not_fit(source: str, path: Path | None, resolution: int | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_source(source, path, resolution)
    with pytest.raises(TdbenchError, match=f"data {words}"):
        read_source(source, path, resolution)


@pytest.mark.parametrize("source", ["digits", "patches"])
def test_what_is_known_beforehand_is_true(source: str) -> None:
    found, nominal = read_source(source, None, None), SOURCES[source].nominal
    assert nominal is not None
    assert found.images.shape == (nominal.images, nominal.channels, nominal.resolution, nominal.resolution)
    assert (0 if found.labels is None else len(set(found.labels.tolist()))) == nominal.classes


def test_patches_are_different_places_of_both_photographs() -> None:
    images = read_patches().images
    assert np.array_equal(images, read_patches().images)
    # A few places look alike: the sky.
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 0.99 * len(images)
    # The temple's photograph has a grey sky, the flower's is dark: each half is one of them.
    half = len(images) // 2
    assert images[:half].mean() > images[half:].mean() + 20


@pytest.mark.parametrize("channels", [1, 3])
def test_an_archive_is_resized_as_a_folder_is(channels: int, tmp_path: Path) -> None:
    """Grey and in colour; and at its own resolution it stays as it is."""
    images = np.random.default_rng(0).integers(0, 256, (3, channels, 32, 32)).astype(np.uint8)
    labels = np.array([1, 0, 1])
    write_archive(tmp_path / "some.zip", images, labels, ["a", "b"])
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0)).save(tmp_path / f"folder/{i}.png")
    small = read_source("archive", tmp_path / "some.zip", 8)
    assert np.array_equal(small.images, read_source("folder", tmp_path / "folder", 8).images)
    assert small.labels is not None and small.labels.tolist() == [1, 0, 1] and small.class_names == ["a", "b"]
    assert np.array_equal(read_source("archive", tmp_path / "some.zip", 32).images, images)
