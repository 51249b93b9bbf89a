"""Template for a feature extractor: an image's means over a grid of 4x4 cells.

Copy this file, change ``extract`` and the row, and name both in the experiment file:
``plugins: [own_extractor.py]`` and ``evaluation: {features: cells}``.
"""

from pathlib import Path

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from tdbench.evaluation.features import FeatureExtractor
from tdbench.experiment.extractors import Extractor
from tdbench.plugins import register
from tdbench.records.layout import DatasetLayout


def extract(images: Tensor) -> Tensor:
    """(N, C, H, W) images, 0 to 255 -> (N, D) features."""
    return adaptive_avg_pool2d(images.float(), 4).flatten(1)


def load(library: str, files: DatasetLayout, weights: Path | None) -> FeatureExtractor:
    """The extractor for a library; ``files`` are those of the data set."""
    # The checksum says which weights it has: features of other weights are extracted again. This one has none.
    return FeatureExtractor("cells", checksum="no weights", resize="native", extract=extract)


register("extractor", "cells")(
    Extractor(
        about="means over 4x4 cells",
        resize="none",
        classes="",
        loader=f"{__name__}:load",
        describe="tdbench.evaluation.features:describe_references",
        # What `tdbench plan` and the memory and time of jobs are computed from.
        gflops=0.001,
        dimensions=16,
    )
)
