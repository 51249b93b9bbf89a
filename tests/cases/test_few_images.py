"""Scores that so few samples, or images of the data, cannot give: refused before any work, or left out."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tdbench.data.archive import write_archive
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.features import ReferenceFeatures, Statistics
from tdbench.evaluation.measure import Samples, measure
from tdbench.experiment.evaluation import Evaluation
from tests.cases.calls import INPUTS, copied, refused, tdbench


@pytest.mark.parametrize(("name", "images"), [("r8i2", 2), ("r8i3", 3)])
def test_the_cases_of_few_samples(name: str, images: int, tmp_path: Path) -> None:
    said = refused("validate", f"{name}.yaml", cwd=copied("few-images", tmp_path))
    assert said.startswith(f"{name}.yaml: sampling.images: {images}: precision needs at least 4 samples")
    assert "recall needs at least 4" in said and "fid-infinity needs at least 4" in said
    assert said.endswith("give more images, or list evaluation.metrics without this one")


def changed(folder: Path, name: str, **changes: object) -> Path:
    content = yaml.safe_load((folder / f"{name}.yaml").read_text())
    for key, value in changes.items():
        content[key] |= value
    (folder / "e.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def test_the_advice_works(tmp_path: Path) -> None:
    case = copied("few-images", tmp_path)
    assert tdbench("validate", "e.yaml", cwd=changed(case, "r8i2", evaluation={"metrics": ["fid", "kid"]})).code == 0
    assert tdbench("validate", "e.yaml", cwd=changed(case, "r8i2", sampling={"images": 4})).code == 0


@pytest.mark.parametrize("metric", ["recall", "fid-infinity"])
def test_further_members(metric: str, tmp_path: Path) -> None:
    case = changed(copied("few-images", tmp_path), "r8i3", evaluation={"metrics": ["fid", metric]})
    assert f"sampling.images: 3: {metric} needs at least 4" in refused("validate", "e.yaml", cwd=case)


def test_the_case_of_few_images_ends_before_the_training(tmp_path: Path) -> None:
    case = copied("few-images", tmp_path)
    place = case / "r" / "datasets" / "three" / "archive.zip"
    assert tdbench("data", "archive", "--path", "three.zip", "-o", place, cwd=case).code == 0
    said = refused("train", "three.yaml", "edm-td-seed0", "--results", "r", cwd=case)
    assert said.startswith(
        "data set three: 3 images: evaluation.metrics: precision needs at least 4 images of the data"
    )
    assert not list((case / "r" / "three" / "runs").glob("**/run.json"))


def test_a_subset_of_kid_that_is_larger_than_the_data_ends_before_the_training(tmp_path: Path) -> None:
    settings = {"metrics": ["fid", "kid"], "kid_subset_size": 4}
    case = changed(copied("few-images", tmp_path), "three", evaluation=settings)
    place = case / "r" / "datasets" / "three" / "archive.zip"
    assert tdbench("data", "archive", "--path", "three.zip", "-o", place, cwd=case).code == 0
    said = refused("train", "e.yaml", "edm-td-seed0", "--results", "r", cwd=case)
    assert said == "evaluation.kid_subset_size: 4: exceeds the 3 images of data set three"


def of(features: np.ndarray) -> tuple[Samples, ReferenceFeatures]:
    statistics = Statistics.of(features)
    return Samples(features, statistics, features), ReferenceFeatures(features, {}, statistics)


@pytest.mark.parametrize(("count", "given"), [(8, False), (10, False), (19, False), (20, True)])
def test_the_inception_score_is_left_out_where_a_part_has_one_image(count: int, given: bool) -> None:
    """Of a part of one image it is exactly 1."""
    samples, reference = of(np.random.default_rng(0).normal(size=(count, 4)))
    values = measure(torch_fidelity, samples, reference, Evaluation(metrics=("fid", "inception-score")), True)
    assert ("inception-score" in values) is given and values["fid"] < 1e-4
    assert not given or values["inception-score"] > 1


def test_what_a_library_raises_is_one_line_with_the_metric() -> None:
    samples, reference = of(np.random.default_rng(0).normal(size=(3, 4)))
    with pytest.raises(TdbenchError, match=r"torch-fidelity cannot compute precision of 3 samples and 3 images of the"):
        measure(torch_fidelity, samples, reference, Evaluation(metrics=("precision",)), True)
    assert clean_fid.NAME == "clean-fid"


def test_four_are_enough(tmp_path: Path) -> None:
    samples, reference = of(np.random.default_rng(0).normal(size=(4, 4)))
    settings = Evaluation(metrics=("precision", "recall", "fid-infinity"), kid_subset_size=2)
    assert set(measure(torch_fidelity, samples, reference, settings, True)) == set(settings.metrics)


@pytest.mark.slow
def test_a_reference_of_one_image(tmp_path: Path) -> None:
    case = copied("one-image", tmp_path)
    place = case / "r" / "datasets" / "one" / "archive.zip"
    place.parent.mkdir(parents=True)
    shutil.copy(case / "one.zip", place)
    call = ("reference", "one", "--features", "efficientnet-lite0", "--batch-size", "8", "--results", "r")
    assert (
        refused(*call, cwd=case) == "r/datasets/one/archive.zip: 1 image; the covariance of features needs at least 2"
    )
    write_archive(place, np.zeros((2, 1, 8, 8), np.uint8), None)
    assert tdbench(*call, cwd=case).code == 0


def test_validate_says_what_is_left_out(tmp_path: Path) -> None:
    called = tdbench("validate", INPUTS / "inception-score" / "r8.yaml", cwd=tmp_path)
    assert called.code == 0 and called.err.count("\n") == 1
    assert "inception-score is left out: it needs 20 samples (ten parts of 2); sampling.images is 8" in called.err
