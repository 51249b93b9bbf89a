"""The images' own numbers as features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from scipy import linalg

from tdbench.data.archive import read_archive, write_archive
from tdbench.data.sources import read_source
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.features import describe_references, load_reference
from tdbench.evaluation.pixels import describe, extract, load
from tdbench.evaluation.scores import write_references
from tdbench.experiment.extractors import DEFAULT_LIBRARIES
from tdbench.experiment.load import load_plan
from tdbench.experiment.remarks import floor_remarks
from tdbench.records.layout import DatasetLayout
from tests.conftest import TINY


def with_pixels(folder: Path, **settings: object) -> Path:
    """The smallest experiment with these features."""
    content = YAML(typ="safe", pure=True).load(TINY) | settings
    content["evaluation"]["features"] = "pixels"
    YAML().dump(content, folder / "pixels.yaml")
    return folder / "pixels.yaml"


def test_features_are_the_numbers_of_an_image() -> None:
    images = torch.tensor([[[[0, 255], [127, 128]]], [[[255, 255], [0, 0]]]], dtype=torch.uint8)
    found = extract(images)
    assert found.dtype == torch.float32
    expected = torch.tensor([[-1, 1, -0.5 / 127.5, 0.5 / 127.5], [1, 1, -1, -1]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert extract(torch.zeros(5, 3, 8, 8, dtype=torch.uint8)).shape == (5, 192)


def test_both_libraries_give_the_frechet_distance_of_the_images(tmp_path: Path) -> None:
    """Against the formula with SciPy's square root; crops of photographs, where no number is constant."""
    images = read_source("patches", None, None).images
    files = DatasetLayout(tmp_path, "patches")
    write_archive(files.archive, images[:2000], None)
    write_references(read_archive(files.archive), "pixels", 256, files, 1)
    samples = images[2000:3000].reshape(1000, -1) / 127.5 - 1
    data = images[:2000].reshape(2000, -1) / 127.5 - 1
    covariances = [np.cov(numbers, rowvar=False) for numbers in (samples, data)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    gap = samples.mean(0) - data.mean(0)
    expected = gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * root)
    for library, name in ((clean_fid, "clean-fid"), (torch_fidelity, "torch-fidelity")):
        reference = load_reference(files.reference("pixels", name))
        extractor = load(name, files, None)
        features = library.features(images[2000:3000], extractor, 256)
        np.testing.assert_allclose(features, samples, rtol=0, atol=1e-6)
        assert library.fid(features, reference.features) == pytest.approx(expected, rel=1e-5)
    assert "numbers" in describe(files, DEFAULT_LIBRARIES, "pixels")
    assert "native" in describe_references(files, DEFAULT_LIBRARIES, "pixels")


def test_libraries_agree_where_numbers_are_constant(tmp_path: Path) -> None:
    """Of the digits' 64 numbers some are always the background: the covariance is singular."""
    images = read_source("digits", None, None).images
    files = DatasetLayout(tmp_path, "digits")
    write_archive(files.archive, images, None)
    extractor = load("clean-fid", files, None)
    halves = [clean_fid.features(half, extractor, 256) for half in (images[::2], images[1::2])]
    assert np.linalg.matrix_rank(np.cov(halves[0], rowvar=False)) < 64
    found = [library.fid(*halves) for library in (clean_fid, torch_fidelity)]
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_larger_images_are_refused_before_and_after_they_are_read(tmp_path: Path) -> None:
    path = with_pixels(tmp_path, datasets={"faces": {"source": "folder", "path": "faces", "resolution": 32}})
    with pytest.raises(TdbenchError) as error:
        load_plan(str(path))
    assert str(error.value).startswith(
        f"{path}: evaluation.features: 'pixels': faces: takes images of at most 16x16, not 32x32; "
        "choose classifier or efficientnet-lite0 or inception"
    )
    files = DatasetLayout(tmp_path, "faces")
    write_archive(files.archive, np.zeros((3, 3, 20, 20), dtype=np.uint8), None)
    with pytest.raises(TdbenchError, match=r"archive.zip: features 'pixels': takes images of at most 16x16, not 20x20"):
        write_references(read_archive(files.archive), "pixels", 256, files, 1)


def test_the_advice_on_samples_knows_how_many_numbers_there_are(tmp_path: Path) -> None:
    (line,) = floor_remarks(load_plan(str(with_pixels(tmp_path))))
    assert "the 64 features of pixels" in line and "about 1,280 samples" in line
