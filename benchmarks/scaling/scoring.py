"""How fast a core scores, measured: the features of Inception, and the distances of a large set of samples.

    python -m benchmarks.scaling.scoring

Inception's weights are random, which takes as long as the published ones and needs no network. The distances, of which
precision and recall grow with the square of the images, are measured for two smaller sets and reckoned from there. What
counts is the time of the processor, so that other programs disturb little.
"""

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from safetensors.torch import save_file
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tdbench.errors import TdbenchError
from tdbench.evaluation.features import ReferenceFeatures, Statistics
from tdbench.evaluation.inception import load_inception
from tdbench.evaluation.measure import Samples, measure
from tdbench.evaluation.scores import MODULES
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.extractors import DEFAULT_LIBRARIES
from tdbench.runtime.device import choose_device
from tdbench.runtime.progress import say

DIMENSION, CLASSES = 2048, 1008


def images_per_second(library: str, resolution: int, images: int) -> float:
    """Images of which a library's Inception extracts the features, in a second on one core."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, resolution, resolution), dtype=np.uint8)
    with tempfile.TemporaryDirectory(prefix="tdbench-") as folder:
        path = Path(folder) / "random.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in _untrained().state_dict().items()}, path)
        extractor = load_inception(library, path)
        MODULES[library].features(pixels[:16], extractor, 16)
        begun = time.process_time()
        MODULES[library].features(pixels, extractor, images)
    return images / (time.process_time() - begun)


def distance_seconds(sizes: tuple[int, int], images: int, metrics: tuple[str, ...]) -> dict[str, float]:
    """Library -> core seconds of the distances of a set of ``images`` against as many, as a + b n² of two sizes."""
    settings = Evaluation(features="inception", metrics=metrics, bootstrap=0)
    found = {}
    for library in DEFAULT_LIBRARIES:
        small, large = (_distances(library, size, settings) for size in sizes)
        slope = max(0.0, (large - small) / (sizes[1] ** 2 - sizes[0] ** 2))
        found[library] = small + slope * (images**2 - sizes[0] ** 2)
    return found


def _distances(library: str, size: int, settings: Evaluation) -> float:
    source = np.random.default_rng(0)
    mine, theirs = (source.random((size, DIMENSION)) for _ in range(2))
    reference = ReferenceFeatures(theirs, {}, Statistics.of(theirs))
    begun = time.process_time()
    samples = Samples(mine, Statistics.of(mine), source.random((size, CLASSES)))
    measure(MODULES[library], samples, reference, settings, last=False)
    return time.process_time() - begun


def _untrained() -> FeatureExtractorInceptionV3:
    """torch-fidelity's Inception with the weights that it is made with."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
            assert state == {}

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    return Untrained("inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=empty)


@torch.no_grad()
def main(
    images: Annotated[int, typer.Option(min=32, help="Images to extract the features of.")] = 128,
    resolution: Annotated[int, typer.Option(min=8, help="Their size.")] = 32,
    sizes: Annotated[tuple[int, int], typer.Option(help="Sizes of the sets whose distances are measured.")] = (
        3000,
        6000,
    ),
    sets: Annotated[int, typer.Option(min=2, help="Size of the sets whose distances are wanted.")] = 50_000,
) -> None:
    """Measure scoring on one core."""
    choose_device("cpu", 1)
    for library in DEFAULT_LIBRARIES:
        say(f"{library}: inception, {images_per_second(library, resolution, images):.2f} images a second and core")
    metrics = ("fid", "kid", "precision", "recall", "inception-score")
    for library, seconds in distance_seconds(sizes, sets, metrics).items():
        say(f"{library}: distances of {sets:,} images, {seconds:.0f} core seconds")


if __name__ == "__main__":
    try:
        typer.run(main)
    except TdbenchError as error:
        sys.exit(f"error: {error}")
