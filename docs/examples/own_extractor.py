"""Template for a feature extractor: the means of each image over a grid of 4x4 cells.

To use it, copy this file beside your experiment file and add there: `plugins: [own_extractor.py]` and
`evaluation: {features: cells}`.
"""

from pathlib import Path

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tdbench.evaluation.features import FeatureExtractor
from tdbench.experiment.extractors import Extractor
from tdbench.plugins import register
from tdbench.records.layout import DatasetLayout
from tdbench.runtime.files import sha256


def extract(images: Tensor) -> Tensor:
    """(N, C, H, W) images with values 0..255 -> (N, D) features; here D is 16. Change this function."""
    grey = images.float().mean(dim=1, keepdim=True)
    return adaptive_avg_pool2d(grey, 4).flatten(1)


def load(library: str, files: DatasetLayout, weights: Path | None) -> FeatureExtractor:
    """Load the network, once in each job. `files` has the paths of the data set; `weights` is None for a plug-in.

    The checksum says whether stored features are still valid. Take that of the file of weights if you have one.
    If your network also has classes, pass `logits`: a function of (N, D) features that returns (N, K) logits.
    """
    return FeatureExtractor("cells", checksum=sha256(Path(__file__)), resize="native", extract=extract)


register("extractor", "cells")(
    Extractor(
        about="means over 4x4 cells",
        resize="none",
        classes="",
        loader=f"{__name__}:load",
        describe="tdbench.evaluation.features:describe_references",
        gflops=0.001,  # 1e9 operations an image; jobs request their time and memory by it
        dimensions=16,  # D
    )
)
