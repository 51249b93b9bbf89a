"""torch-fidelity: features by its own loop over a data set, distances by its own functions.

Its own cache of features is not used, since it reads pickles.
"""

from collections.abc import Callable
from importlib import metadata

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric
from torch_fidelity.utils import get_featuresdict_from_dataset

from tdbench.evaluation.features import FeatureExtractor, Statistics

NAME = "torch-fidelity"
VERSION = metadata.version("torch-fidelity")
NEIGHBOURS = 3
PRC_BATCH = 10_000
ISC_PARTS = 10


class _Images(Dataset[Tensor]):
    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


class _Extractor(FeatureExtractorBase):
    """One of our extractors in torch-fidelity's form."""

    def __init__(self, name: str, extract: Callable[[Tensor], Tensor]) -> None:
        super().__init__(name, ["features"])
        self.extract = extract

    @staticmethod
    def get_provided_features_list() -> tuple[str]:
        return ("features",)

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.extract(images).double(),)


def features(images: np.ndarray, extractor: FeatureExtractor, batch_size: int) -> np.ndarray:
    """Features (N, D) float64 of uint8 images (N, C, H, W)."""
    adapter = _Extractor(extractor.name, extractor.extract)
    # save_cpu_ram: no worker processes, which cost more than the copy of an image that is in memory.
    found = get_featuresdict_from_dataset(
        _Images(images), adapter, batch_size, cuda=False, save_cpu_ram=True, verbose=False
    )
    result: np.ndarray = found["features"].numpy()
    return result


def distance(samples: Statistics, reference: Statistics) -> float:
    """Fréchet distance of two normal distributions."""
    both = [{"mu": statistics.mean, "sigma": statistics.covariance} for statistics in (samples, reference)]
    return float(fid_statistics_to_metric(*both, verbose=False)[KEY_METRIC_FID])


def fid(samples: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet distance of two sets of features (N, D)."""
    return distance(Statistics.of(samples), Statistics.of(reference))


def kid(samples: np.ndarray, reference: np.ndarray, subsets: int, subset_size: int) -> float:
    """Kernel distance: the mean over random subsets of the unbiased estimate."""
    metric = kid_features_to_metric(
        torch.from_numpy(samples),
        torch.from_numpy(reference),
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        verbose=False,
    )
    return float(metric[KEY_METRIC_KID_MEAN])


def precision_recall(samples: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Shares of the samples within the data's neighbourhoods, and of the data within the samples' (N, D each).

    A neighbourhood reaches to the `NEIGHBOURS`th nearest of its own set (Kynkäänniemi et al. 2019, k = 3).
    """
    metric = prc_features_to_metric(
        torch.from_numpy(samples),
        torch.from_numpy(reference),
        prc_neighborhood=NEIGHBOURS,
        prc_batch_size=PRC_BATCH,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(metric[KEY_METRIC_PRECISION]), float(metric[KEY_METRIC_RECALL])


def inception_score(logits: np.ndarray) -> float:
    """exp of the mean divergence of the predicted classes from their mean, mean over ten parts of (N, K) logits."""
    parts = min(ISC_PARTS, len(logits))
    return float(isc_features_to_metric(torch.from_numpy(logits), splits=parts)[KEY_METRIC_ISC_MEAN])
