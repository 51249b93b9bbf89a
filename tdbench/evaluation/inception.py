"""Feature extractor ``inception``: each library's own Inception network behind its own resize.

What published FIDs use. The two libraries do not share a file of weights nor a resize, so their scores on these
features are two measures, and are not set against each other. The files are fetched once, into torch's folder
of downloads (``TORCH_HOME`` moves it); whoever has no network puts them there by hand.
"""

import tempfile
import warnings
from collections.abc import Callable
from http.client import HTTPException
from io import BytesIO
from pathlib import Path

import torch
from cleanfid.downloads_helper import check_download_inception, inception_url
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.features import FeatureExtractor, as_rgb, in_chunks
from tdbench.evaluation.weights import damaged_weights, read_state
from tdbench.files import sha256

NAME = "inception"
_DAMAGED = "delete the file, and it is fetched again"


def load_inception(library: str) -> FeatureExtractor:
    """The extractor that ``library`` itself would use."""
    return {clean_fid.NAME: _of_clean_fid, torch_fidelity.NAME: _of_torch_fidelity}[library]()


def _of_clean_fid() -> FeatureExtractor:
    """What clean-fid builds for its mode ``clean``, with the file of weights in our place instead of a shared one."""
    path = _fetched(clean_fid.NAME, inception_url, lambda file: check_download_inception(str(file.parent)))
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, but it is the form that clean-fid reads.
            warnings.simplefilter("ignore", FutureWarning)
            network = InceptionV3W(str(path.parent), download=False).eval()
    except Exception as error:  # torch's reader raises many kinds for damaged files
        raise damaged_weights(path, error, _DAMAGED) from error
    resize = build_resizer("clean")

    def extract(images: Tensor) -> Tensor:
        pixels = as_rgb(images).permute(0, 2, 3, 1).numpy()
        resized = torch.stack([torch.from_numpy(resize(image)) for image in pixels])
        result: Tensor = network(resized.permute(0, 3, 1, 2).contiguous())
        return result

    return FeatureExtractor(NAME, sha256(path), "bicubic to 299x299, not rounded (clean-fid)", in_chunks(extract))


def _of_torch_fidelity() -> FeatureExtractor:
    """torch-fidelity's ``inception-v3-compat``; it resizes by itself."""
    checksum_prefix = Path(URL_INCEPTION_V3).stem.rsplit("-", 1)[-1]
    path = _fetched(
        torch_fidelity.NAME,
        URL_INCEPTION_V3,
        lambda file: torch.hub.download_url_to_file(URL_INCEPTION_V3, str(file), checksum_prefix, progress=False),
    )
    # torch-fidelity would read the file as a pickle; it gets a copy that holds nothing but the weights.
    safe = BytesIO()
    torch.save(read_state(path, _DAMAGED), safe)
    safe.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=safe)
    except RuntimeError as error:  # weights of another network
        raise damaged_weights(path, error, _DAMAGED) from error

    def extract(images: Tensor) -> Tensor:
        result: Tensor = network(as_rgb(images))[0]
        return result

    return FeatureExtractor(NAME, sha256(path), "TensorFlow's bilinear to 299x299 (torch-fidelity)", in_chunks(extract))


def _fetched(library: str, url: str, download: Callable[[Path], object]) -> Path:
    """The file of weights in torch's folder of downloads, fetched if it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own: clean-fid would leave half a file under the final name.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            download(Path(folder) / path.name)
            (Path(folder) / path.name).replace(path)
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: another checksum than expected
        raise TdbenchError(
            f"{path}: features 'inception' of {library} need this file, and it could not be fetched from {url} "
            f"({error}); put it there by hand, or choose other evaluation.features"
        ) from error
    return path
