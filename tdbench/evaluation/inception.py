"""Feature extractor ``inception``: each library's own Inception network behind its own resize.

What published FIDs use. The libraries share neither a file of weights nor a resize, and clean-fid has two resizes, so
their scores on these features are different measures and are not compared. Where the files come from:
`tdbench.evaluation.inception_weights`.

clean-fid's file is a TorchScript archive, that is, a program: loading it runs what is in it. So it is run only if
its SHA-256 is that of the file which clean-fid publishes. Any other file, also one that stands in for clean-fid's, has
to hold nothing but weights (``.pth`` read as weights only, or ``.safetensors``), under the names of torch-fidelity's
network, which has the same layers; clean-fid then brings its resize and its loop.
"""

import tempfile
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from zipfile import ZipFile

import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tdbench.errors import TdbenchError
from tdbench.evaluation.features import FeatureExtractor, as_rgb, in_chunks
from tdbench.evaluation.inception_weights import is_published, published_weights
from tdbench.experiment.extractors import LIBRARIES
from tdbench.records.layout import DatasetLayout
from tdbench.records.weights import damaged_weights, read_state
from tdbench.runtime.files import sha256
from tdbench.runtime.progress import say

NAME = "inception"
_REMEDY = "expected the weights of torch-fidelity's Inception, as .pth or .safetensors"


def load_inception(library: str, given: Path | None = None) -> FeatureExtractor:
    """The extractor that ``library`` itself would use.

    Parameters
    ----------
    given : Path or None
        A file of weights in place of the published one. With other weights the extractor is called ``inception-``
        and the first digits of their SHA-256.

    Raises
    ------
    TdbenchError
        If the file is missing, damaged, of another network, or a program that is not the published one.
    """
    path = published_weights(LIBRARIES[library].publisher) if given is None else given
    if not path.is_file():
        raise TdbenchError(f"{path}: no such file; evaluation.weights (or --weights) names it for {library}")
    checksum = sha256(path)
    name = NAME
    if not is_published(checksum, library):
        _refuse_program(path, checksum)
        name = f"{NAME}-{checksum[:8]}"
        say(
            f"tdbench: warning: {path}: not the weights that {library} uses; its scores are of features {name!r} "
            "and do not compare with published ones"
        )
    found: FeatureExtractor = resolve_name(LIBRARIES[library].inception)(path, name, checksum)
    return found


def load(library: str, files: DatasetLayout, given: Path | None) -> FeatureExtractor:
    """The extractor that ``library`` itself would use, for any data set."""
    return load_inception(library, given)


def clean(path: Path, name: str, checksum: str) -> FeatureExtractor:
    """clean-fid's mode ``clean``."""
    network: Callable[[Tensor], Tensor] = (
        _torch_script(path, resize_inside=False) if is_published(checksum, "clean-fid") else _Layers(_network(path))
    )
    resize = build_resizer("clean")

    def extract(images: Tensor) -> Tensor:
        pixels = as_rgb(images).permute(0, 2, 3, 1).numpy()
        resized = torch.stack([torch.from_numpy(resize(image)) for image in pixels])
        return network(resized.permute(0, 3, 1, 2).contiguous())

    return FeatureExtractor(
        name, checksum, "bicubic, antialiased, to 299x299, not rounded (clean-fid, clean)", in_chunks(extract)
    )


def legacy_tensorflow(path: Path, name: str, checksum: str) -> FeatureExtractor:
    """clean-fid's mode ``legacy_tensorflow``: no resize outside the network, which has one of its own."""
    resize = "TensorFlow's bilinear to 299x299, by the network (clean-fid, legacy_tensorflow)"
    if is_published(checksum, "clean-fid"):
        script = _torch_script(path, resize_inside=True)
        return FeatureExtractor(name, checksum, resize, in_chunks(lambda images: script(as_rgb(images).float())))
    network = _network(path)
    return FeatureExtractor(name, checksum, resize, in_chunks(lambda images: network(as_rgb(images))[0]))


def torch_fidelity(path: Path, name: str, checksum: str) -> FeatureExtractor:
    """torch-fidelity's ``inception-v3-compat``; it resizes by itself."""
    network = _network(path)

    def logits(features: Tensor) -> Tensor:
        """Without the bias, as in torch-fidelity's Inception score, which the papers use."""
        return features.mm(network.fc.weight.T)

    return FeatureExtractor(
        name,
        checksum,
        "TensorFlow's bilinear to 299x299 (torch-fidelity)",
        in_chunks(lambda images: network(as_rgb(images))[0]),
        logits,
    )


def _network(path: Path) -> FeatureExtractorInceptionV3:
    """torch-fidelity's network: uint8 images (N, 3, H, W) -> one output, features (N, 2048)."""
    # torch-fidelity would read the file as a pickle; it gets a copy with only the weights.
    safe = BytesIO()
    torch.save(read_state(path, _REMEDY), safe)
    safe.seek(0)
    try:
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=safe)
    except Exception as error:  # weights of another network, or no dictionary at all
        raise damaged_weights(path, error, _REMEDY) from error


class _Layers(nn.Module):
    """torch-fidelity's network without its resize: float images (N, 3, 299, 299), 0..255 -> (N, 2048).

    Its layers have the order in which the network goes through them, the classes come last.
    """

    def __init__(self, network: FeatureExtractorInceptionV3) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(layer for name, layer in network.named_children() if name != "fc"))

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers((images - 128) / 128)
        return features.flatten(1)


def _torch_script(path: Path, resize_inside: bool) -> nn.Module:
    """The program that clean-fid publishes, loaded by clean-fid, which wants it in a folder under its own name."""
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            # TorchScript is deprecated, but it is the form that clean-fid reads.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            (Path(folder) / "inception-2015-12-05.pt").symlink_to(path.resolve())
            network: nn.Module = InceptionV3W(folder, download=False, resize_inside=resize_inside)
            return network.eval()
    except Exception as error:  # torch's reader raises many kinds
        raise damaged_weights(path, error, "clean-fid's own file, but torch cannot read it") from error


def _refuse_program(path: Path, checksum: str) -> None:
    """Say so of a TorchScript archive; torch, asked for weights only, would refuse it less clearly."""
    try:
        with ZipFile(path) as archive:
            program = any("code" in Path(name).parts[1:-1] for name in archive.namelist())
    except Exception:  # no zip, or a damaged one: for the reader of weights to say
        return
    if program:
        raise TdbenchError(
            f"{path}: a TorchScript archive, which is a program (SHA-256 {checksum}): none is run but the one that "
            f"clean-fid publishes, and that by clean-fid alone; {_REMEDY}"
        )
