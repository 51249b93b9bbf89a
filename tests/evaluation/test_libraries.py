"""Both libraries on known answers, and against each other on the real digits."""

import json
from pathlib import Path

import numpy as np
import pytest

from tdbench.data.archive import ImageSet
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.classifier import load_classifier, train_classifier
from tdbench.evaluation.features import FeatureExtractor
from tdbench.records.layout import DatasetLayout

LIBRARIES = [clean_fid, torch_fidelity]


@pytest.fixture(scope="module")
def classifier(prepared: DatasetLayout) -> FeatureExtractor:
    return load_classifier(prepared.classifier, prepared.classifier_report)


def test_classifier_knows_its_classes(prepared: DatasetLayout) -> None:
    report = json.loads(prepared.classifier_report.read_text())
    assert report["test_accuracy"] >= 0.97 and report["test_images"] == 360


@pytest.mark.slow
def test_classifier_is_repeatable(prepared: DatasetLayout, images: ImageSet, tmp_path: Path) -> None:
    train_classifier(images, tmp_path / "c.safetensors", tmp_path / "c.json")
    assert (tmp_path / "c.safetensors").read_bytes() == prepared.classifier.read_bytes()


@pytest.mark.slow
def test_labels_that_mean_nothing_are_refused(images: ImageSet, tmp_path: Path) -> None:
    labels = np.random.default_rng(0).permutation(images.labels)
    shuffled = ImageSet(images.images[:400], labels[:400], images.checksum, images.path)
    with pytest.raises(TdbenchError, match="at least 97% is needed"):
        train_classifier(shuffled, tmp_path / "c.safetensors", tmp_path / "c.json")
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda m: m.NAME)
def test_fid_of_two_gaussians(library, images: ImageSet) -> None:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), which for S2 = 4 S1 is |mu1 - mu2|^2 + tr(S1)."""
    first = np.random.default_rng(0).normal(size=(20_000, 8))
    first = (first - first.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(first, rowvar=False))).T
    second = 2 * first + 3
    assert library.fid(first, second) == pytest.approx(8 * 9 + 8, rel=1e-6)
    assert library.fid(first, first) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda m: m.NAME)
def test_features_are_those_of_the_extractor_in_order(library, images: ImageSet, classifier: FeatureExtractor) -> None:
    import torch

    with torch.no_grad():
        expected = classifier.extract(torch.from_numpy(images.images[:300])).double().numpy()
        for batch_size in (256, 100, 299):
            found = library.features(images.images[:300], classifier, batch_size)
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_libraries_agree_and_rank_alike(images: ImageSet, classifier: FeatureExtractor) -> None:
    """Halves of the data against each other: small; with noise or with classes dropped: larger. Agreement to 1e-3."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images.images))
    first, second = images.images[order[:898]], images.images[order[898:]]
    labels = images.labels[order[898:]]
    noisy = {s: np.clip(second + rng.normal(0, s, second.shape), 0, 255).astype(np.uint8) for s in (20, 60)}
    candidates = {"half": second, "noise 20": noisy[20], "noise 60": noisy[60], "5 classes": second[labels < 5]}
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    for library in LIBRARIES:
        reference = library.features(first, classifier, 256)
        found = {name: library.features(c, classifier, 256) for name, c in candidates.items()}
        scores[library.NAME] = {
            n: (library.fid(f, reference), library.kid(f, reference, 20, 300)) for n, f in found.items()
        }
    ours, theirs = scores.values()
    for name in candidates:
        for a, b in zip(ours[name], theirs[name], strict=True):
            assert a == pytest.approx(b, rel=1e-3, abs=1e-6), name
    for table in (ours, theirs):
        fid = {name: values[0] for name, values in table.items()}
        assert fid["half"] < fid["noise 20"] < fid["noise 60"] and fid["half"] < 0.2 * fid["5 classes"]


def test_scoring_leaves_the_global_generators_alone(images: ImageSet, classifier: FeatureExtractor) -> None:
    import torch

    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    found = clean_fid.features(images.images[:100], classifier, 64)
    clean_fid.kid(found, found[::-1], 2, 50)
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])
