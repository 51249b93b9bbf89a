"""What each source takes."""

from pathlib import Path

import pytest

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
        ("cifar10", None, 32, "source cifar10: takes no resolution"),
        ("archive", SOME, 32, "source archive: takes no resolution"),
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


def test_what_is_known_beforehand_of_the_digits_is_true() -> None:
    found, nominal = read_source("digits", None, None), SOURCES["digits"].nominal
    assert nominal is not None and found.labels is not None
    assert found.images.shape == (nominal.images, nominal.channels, nominal.resolution, nominal.resolution)
    assert len(set(found.labels.tolist())) == nominal.classes
