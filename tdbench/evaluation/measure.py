"""All figures of one set of samples, from features that are extracted once."""

from pkgutil import resolve_name
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from tdbench.errors import TdbenchError
from tdbench.evaluation import torch_fidelity
from tdbench.evaluation.features import FeatureExtractor, ReferenceFeatures, Statistics
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.metrics import METRICS, left_out
from tdbench.runtime.progress_log import first_line
from tdbench.seeds import derive_seed

SIZES = 15
"""Sizes of set from which FID is extrapolated, as many as Chong and Forsyth (2020) have."""
SMALLEST = 0.5
"""The smallest of these, as a share of the samples. Theirs is 0.1 of 50,000; where there are few samples to a dimension
of the features the line bends there, and the extrapolation falls below zero."""


class Samples(NamedTuple):
    """A set of samples as an extractor sees it."""

    features: np.ndarray
    """(N, D) float64."""
    statistics: Statistics
    logits: np.ndarray | None
    """(N, K) float64, of an extractor that has classes."""

    @classmethod
    def of(cls, features: np.ndarray, extractor: FeatureExtractor) -> "Samples":
        logits = None
        if extractor.logits is not None:
            # In the network's own precision, as in its own last layer.
            logits = extractor.logits(torch.from_numpy(features).float()).double().numpy()
        return cls(features, Statistics.of(features), logits)


def measure(
    library: ModuleType, samples: Samples, reference: ReferenceFeatures, settings: Evaluation, last: bool
) -> dict[str, float]:
    """The metrics of a set of samples that ``library`` computes, by name.

    Parameters
    ----------
    last : bool
        Whether the samples are of the last snapshot, which alone gets the slow ones.

    Raises
    ------
    TdbenchError
        If the library cannot compute one.
    """
    few = left_out(settings.metrics, len(samples.features))
    wanted = [
        name
        for name in settings.metrics
        if library.NAME in METRICS[name].libraries and (last or not METRICS[name].last_only) and name not in few
    ]
    values: dict[str, float] = {}
    for name in wanted:
        if name in values:
            continue
        try:
            found = resolve_name(METRICS[name].function)(library, samples, reference, settings)
        except Exception as error:  # the libraries raise many kinds
            counts = f"{len(samples.features)} samples and {len(reference.features)} images of the data"
            raise TdbenchError(f"{library.NAME} cannot compute {name} of {counts} ({first_line(error)})") from error
        values |= {key: value for key, value in found.items() if key in wanted}
    return values


def fid(library: ModuleType, samples: Samples, reference: ReferenceFeatures, _: Evaluation) -> dict[str, float]:
    """Fréchet distance of the features (Heusel et al. 2017)."""
    return {"fid": library.distance(samples.statistics, reference.statistics)}


def kid(library: ModuleType, samples: Samples, reference: ReferenceFeatures, settings: Evaluation) -> dict[str, float]:
    """Kernel distance of the features (Binkowski et al. 2018)."""
    subsets, size = settings.kid_subsets, settings.kid_subset_size
    return {"kid": library.kid(samples.features, reference.features, subsets, size)}


def precision_recall(
    library: ModuleType, samples: Samples, reference: ReferenceFeatures, _: Evaluation
) -> dict[str, float]:
    """Shares of samples near the data, and of data near the samples (Kynkäänniemi et al. 2019)."""
    precision, recall = library.precision_recall(samples.features, reference.features)
    return {"precision": precision, "recall": recall}


def inception_score(library: ModuleType, samples: Samples, _: ReferenceFeatures, __: Evaluation) -> dict[str, float]:
    """exp of the mean divergence of the predicted classes from their mean (Salimans et al. 2016)."""
    return {} if samples.logits is None else {"inception-score": library.inception_score(samples.logits)}


def fid_infinity(_: ModuleType, samples: Samples, reference: ReferenceFeatures, __: Evaluation) -> dict[str, float]:
    """FID extrapolated to infinitely many samples (Chong and Forsyth 2020)."""
    return {"fid-infinity": fid_at_infinity(samples.features, reference.statistics)}


def fid_at_infinity(features: np.ndarray, reference: Statistics) -> float:
    """FID extrapolated to infinitely many samples (Chong and Forsyth 2020).

    The bias of FID falls as 1/N: a straight line through the FIDs of random subsets, against 1/N, is read at 0.

    Parameters
    ----------
    features : np.ndarray
        (N, D) of the samples.
    """
    count, source = len(features), np.random.default_rng(derive_seed(0, "fid-infinity"))
    sizes = np.linspace(max(SMALLEST * count, 2), count, SIZES).round().astype(int)
    subsets = [features[source.choice(count, size, replace=False)] for size in sizes]
    values = [torch_fidelity.distance(Statistics.of(subset), reference) for subset in subsets]
    return float(stats.linregress(1 / sizes, values).intercept)


def fid_spread_of_images(features: np.ndarray, reference: Statistics, resamplings: int) -> float:
    """Standard deviation of FID over bootstrap resamplings of the samples: its sampling variability.

    Of the reference nothing is resampled: it is the data set itself. The resampled FIDs lie above the FID, by about as
    much as that lies above FID at infinity, so that they give its spread and no interval around it.

    Parameters
    ----------
    features : np.ndarray
        (N, D) of the samples.
    resamplings : int
        At least 2.
    """

    def fid(index: np.ndarray) -> float:
        return torch_fidelity.distance(Statistics.of(features[index]), reference)

    found = stats.bootstrap(
        (np.arange(len(features)),),
        fid,
        n_resamples=resamplings,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(derive_seed(0, "fid-bootstrap")),
    )
    return float(found.standard_error)
