"""The figures of a set of samples on known answers, and that features are extracted once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid import fid as cleanfid_fid

from tdbench.data.archive import ImageSet
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, scores, torch_fidelity
from tdbench.evaluation.features import FeatureExtractor, ReferenceFeatures, Statistics, load_reference, save_reference
from tdbench.evaluation.measure import Samples, fid_at_infinity, fid_spread_of_images, measure
from tdbench.evaluation.scores import write_references
from tdbench.experiment.extractors import DEFAULT_LIBRARIES
from tdbench.experiment.metrics import METRICS, direction
from tdbench.experiment.schema import Evaluation
from tdbench.records.layout import DatasetLayout
from tdbench.records.schema import Reference
from tdbench.runtime.provenance import provenance

D, SHIFT = 32, 0.1
STANDARD = Statistics(np.zeros(D), np.eye(D))
SETTINGS = Evaluation(kid_subsets=5, kid_subset_size=100, bootstrap=0)


def gaussian(count: int, seed: int, shift: float = SHIFT) -> np.ndarray:
    """Samples of a normal distribution whose distance to `STANDARD` is D shift^2."""
    return np.random.default_rng(seed).normal(shift, 1, (count, D))


def test_shared_statistics_change_no_distance() -> None:
    """Both libraries get our statistics; clean-fid would compute its own."""
    first, second = gaussian(500, 0), 1.5 * gaussian(700, 1)
    assert clean_fid.fid(first, second) == pytest.approx(cleanfid_fid.fid_from_feats(first, second), rel=1e-12)


def test_fid_at_infinity_is_nearer_the_truth() -> None:
    truth, few = D * SHIFT**2, [gaussian(500, seed) for seed in range(5)]
    plain = np.mean([torch_fidelity.distance(Statistics.of(f), STANDARD) for f in few])
    extrapolated = np.mean([fid_at_infinity(f, STANDARD) for f in few])
    assert abs(extrapolated - truth) < 0.15 * abs(plain - truth)
    assert fid_at_infinity(few[0], STANDARD) == fid_at_infinity(few[0], STANDARD)


def test_the_bootstrap_gives_the_spread_of_fid_over_images() -> None:
    """Against the spread over sets that are drawn anew, which nobody has who has one set."""
    count, shift = 1000, 0.3
    anew = np.std(
        [torch_fidelity.distance(Statistics.of(gaussian(count, s, shift)), STANDARD) for s in range(100)], ddof=1
    )
    found = np.mean([fid_spread_of_images(gaussian(count, 1000 + s, shift), STANDARD, 50) for s in range(5)])
    assert found == pytest.approx(anew, rel=0.3)


def test_precision_and_recall_know_noise_from_missing_modes() -> None:
    """Two far clusters: samples of one alone are precise and cover half; samples far from both are not precise."""
    data = gaussian(400, 0) + 100 * (np.arange(400) % 2)[:, None]
    one = gaussian(400, 1)
    precision, recall = torch_fidelity.precision_recall(one, data)
    assert precision > 0.7 and 0.3 < recall <= 0.5
    assert torch_fidelity.precision_recall(data, data) == (1.0, 1.0)
    assert torch_fidelity.precision_recall(one + 1000, data) == (0.0, 0.0)


def test_inception_score_counts_the_classes_that_are_told_apart() -> None:
    classes = np.eye(5)[np.arange(1000) % 5]
    assert torch_fidelity.inception_score(100 * classes) == pytest.approx(5, rel=0.03)
    assert torch_fidelity.inception_score(0 * classes) == pytest.approx(1)
    assert torch_fidelity.inception_score(classes[:3]) == pytest.approx(1)  # fewer than there are parts


def reference_of(features: np.ndarray) -> ReferenceFeatures:
    return ReferenceFeatures(features, {}, Statistics.of(features))


def test_each_library_gives_what_it_has() -> None:
    reference = reference_of(gaussian(300, 0))
    told = FeatureExtractor("x", "w", "native", torch.nn.Identity(), torch.nn.Identity())
    silent = FeatureExtractor("x", "w", "native", torch.nn.Identity())
    features = gaussian(300, 1)
    full = measure(torch_fidelity, Samples.of(features, told), reference, SETTINGS, last=True)
    assert set(full) == set(METRICS)
    # Without classes there is no Inception score, and what takes long is for the last snapshot.
    assert set(METRICS) - set(measure(torch_fidelity, Samples.of(features, silent), reference, SETTINGS, False)) == {
        "inception-score",
        "fid-infinity",
    }
    assert set(measure(clean_fid, Samples.of(features, told), reference, SETTINGS, True)) == {"fid", "kid"}
    one = SETTINGS.model_copy(update={"metrics": ("recall",)})
    assert measure(torch_fidelity, Samples.of(features, told), reference, one, True) == {"recall": full["recall"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"metrics": ["fid", "is"]}, "no such metric; known: fid, kid, precision"),
        ({"metrics": []}, "at least 1"),
        ({"bootstrap": 1}, "one resampling has no spread"),
    ],
)
def test_settings_that_make_no_sense_are_refused(content: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Evaluation.model_validate(content)


def test_the_direction_is_said() -> None:
    assert direction(["fid", "kid"]) == "lower is better"
    assert direction(list(METRICS)) == "lower is better, but higher for precision, recall, Inception score"


@pytest.fixture(scope="module")
def files(prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """The digits with their classifier; their features are still to be extracted."""
    layout = DatasetLayout(tmp_path_factory.mktemp("results"), "digits")
    layout.folder.mkdir(parents=True)
    for path in (prepared.classifier, prepared.classifier_report):
        shutil.copy(path, layout.folder)
    return layout


@pytest.fixture
def extractions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the libraries that extract features, as they do."""
    seen: list[str] = []

    def counted(name: str, extract):
        return lambda *given, **named: seen.append(name) or extract(*given, **named)

    for name in DEFAULT_LIBRARIES:
        module = scores.MODULES[name]
        monkeypatch.setattr(module, "features", counted(name, module.features))
    return seen


def test_references_are_extracted_once(images: ImageSet, files: DatasetLayout, extractions: list[str]) -> None:
    write_references(images, "classifier", 256, files, 1)
    assert extractions == ["clean-fid"]
    found = [load_reference(path) for path in files.references("classifier", DEFAULT_LIBRARIES)]
    assert (found[0].features == found[1].features).all()
    assert [r.facts.library for r in found] == ["clean-fid", "torch-fidelity"]
    np.testing.assert_allclose(found[0].statistics.covariance, np.cov(found[0].features, rowvar=False))
    before = [path.read_bytes() for path in files.references("classifier", DEFAULT_LIBRARIES)]
    write_references(images, "classifier", 256, files, 1)
    assert extractions == ["clean-fid"]
    assert [path.read_bytes() for path in files.references("classifier", DEFAULT_LIBRARIES)] == before
    # Damaged, or of other images: made anew.
    files.reference("classifier", "torch-fidelity").write_bytes(b"PK")
    write_references(images, "classifier", 256, files, 1)
    assert extractions == ["clean-fid"]
    other = ImageSet(images.images[:500], images.labels[:500], "f" * 64, images.path)
    write_references(other, "classifier", 256, files, 1)
    assert extractions == ["clean-fid"] * 2
    assert load_reference(files.reference("classifier", "clean-fid")).facts.data == "f" * 64


def test_a_damaged_reference_is_named(files: DatasetLayout) -> None:
    path = files.reference("classifier", "broken")
    path.write_bytes(b"PK")
    with pytest.raises(TdbenchError, match="no readable reference features"):
        load_reference(Path(path))


def test_a_reference_of_a_later_version_may_hold_more_facts(
    files: DatasetLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_json = Reference.to_json
    features = np.random.default_rng(0).normal(size=(9, 2))
    facts = Reference(
        library="clean-fid", library_version="1", features="classifier", resize="native", n=9, data="d" * 64,
        weights="e" * 64,
        extracted_by="clean-fid",
        provenance=provenance(),
    )  # fmt: skip
    path = files.reference("classifier", "later")
    with monkeypatch.context() as later:
        later.setattr(Reference, "to_json", lambda self: to_json(self) | {"later": "fact"})
        save_reference(path, ReferenceFeatures(features, facts, Statistics.of(features)))
    assert load_reference(path).facts == facts
