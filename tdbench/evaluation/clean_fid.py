"""clean-fid: features by its own loop over images in memory, distances by its own functions."""

from importlib import metadata

import numpy as np
import torch
from cleanfid import fid as cleanfid_fid
from torch import Tensor

from tdbench.evaluation.features import FeatureExtractor, Statistics

NAME = "clean-fid"
VERSION = metadata.version("clean-fid")
# The default seed of torch-fidelity: with it both libraries draw the same subsets for KID.
KID_SEED = 2020


def features(images: np.ndarray, extractor: FeatureExtractor, batch_size: int) -> np.ndarray:
    """Features (N, D) float64 of uint8 images (N, C, H, W).

    clean-fid asks a generator for batches of images; ours hands out the stored ones in order. Its resize
    step is replaced by none where the extractor reads the native resolution.
    """
    served = 0

    def generator(z: Tensor) -> Tensor:
        nonlocal served
        # The last batch must be full too; clean-fid drops what is beyond the end.
        index = np.minimum(np.arange(served, served + len(z)), len(images) - 1)
        served += len(z)
        return torch.from_numpy(images[index])

    def model(batch: Tensor) -> Tensor:
        return extractor.extract(batch).double()

    with torch.random.fork_rng(devices=[]):
        result: np.ndarray = cleanfid_fid.get_model_features(
            generator,
            model,
            mode="clean",
            z_dim=1,
            num_gen=len(images),
            batch_size=batch_size,
            device=torch.device("cpu"),
            verbose=False,
            custom_fn_resize=lambda image: image,
        )
    return result


def distance(samples: Statistics, reference: Statistics) -> float:
    """Fréchet distance of two normal distributions."""
    return float(cleanfid_fid.frechet_distance(*samples, *reference))


def fid(samples: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet distance of two sets of features (N, D)."""
    return distance(Statistics.of(samples), Statistics.of(reference))


def kid(samples: np.ndarray, reference: np.ndarray, subsets: int, subset_size: int) -> float:
    """Kernel distance: the mean over random subsets of the unbiased estimate."""
    state = np.random.get_state()
    np.random.seed(KID_SEED)
    try:
        # clean-fid draws from its second argument first; torch-fidelity from the samples.
        return float(cleanfid_fid.kernel_distance(reference, samples, num_subsets=subsets, max_subset_size=subset_size))
    finally:
        np.random.set_state(state)
