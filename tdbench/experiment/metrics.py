"""The metrics: what they are called, in which direction they are better, and which library computes them.

Apart from what computes them, so that experiments and reports can be read without the libraries.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Better = Literal["lower", "higher"]


class Metric(NamedTuple):
    """A figure of a set of samples."""

    label: str
    """What people call it."""
    better: Better
    libraries: tuple[str, ...]
    """The libraries whose code computes it, by their modules' names."""
    function: str
    """Function (library's module, Samples, ReferenceFeatures, Evaluation) -> name -> value, of this metric and of those
    that come with it; empty where the extractor has not what it needs."""
    last_only: bool = False
    """Whether it is computed of the last snapshot alone, since it takes long."""
    least_samples: int = 2
    """Samples below which its value means nothing, or cannot be computed."""
    least_images: int = 2
    """The same of the data set's images that the samples are compared with."""
    reason: str = "a covariance"
    """What needs so many."""
    optional: bool = False
    """Whether it is left out below that, with a word, where others would refuse the experiment."""
    spread: str = ""
    """Function (features, Statistics of the reference, resamplings) -> its standard deviation over resamplings of the
    images (`Evaluation.bootstrap`); empty for none."""


_MEASURE = "tdbench.evaluation.measure"
_THIRD = "the distance to the third nearest neighbour"


_BOTH, _ONE = ("clean-fid", "torch-fidelity"), ("torch-fidelity",)


METRICS = {
    # Fréchet distance of the features (Heusel et al. 2017).
    "fid": Metric("FID", "lower", _BOTH, f"{_MEASURE}:fid", spread=f"{_MEASURE}:fid_spread_of_images"),
    # Kernel distance of the features (Binkowski et al. 2018).
    "kid": Metric("KID", "lower", _BOTH, f"{_MEASURE}:kid"),
    # Shares of samples near the data, and of data near the samples (Kynkäänniemi et al. 2019).
    "precision": Metric(
        "precision", "higher", _ONE, f"{_MEASURE}:precision_recall", least_samples=4, least_images=4, reason=_THIRD
    ),
    "recall": Metric(
        "recall", "higher", _ONE, f"{_MEASURE}:precision_recall", least_samples=4, least_images=4, reason=_THIRD
    ),
    # exp of the mean divergence of the predicted classes from their mean (Salimans et al. 2016).
    # In ten parts; the score of a part that has one image is 1, for any image.
    "inception-score": Metric(
        "Inception score",
        "higher",
        _ONE,
        f"{_MEASURE}:inception_score",
        least_samples=20,
        least_images=1,
        reason="ten parts of 2",
        optional=True,
    ),
    # FID extrapolated to infinitely many samples (Chong and Forsyth 2020).
    "fid-infinity": Metric(
        "FID∞",
        "lower",
        _ONE,
        f"{_MEASURE}:fid_infinity",
        last_only=True,
        least_samples=4,
        reason="a line through subsets of several sizes",
    ),
}


def left_out(metrics: Iterable[str], samples: int) -> dict[str, str]:
    """Metrics that so few samples cannot give, and which are left out for that: name -> the reason."""
    few = [name for name in metrics if METRICS[name].optional and samples < METRICS[name].least_samples]
    return {name: f"needs {METRICS[name].least_samples} samples ({METRICS[name].reason})" for name in few}


def impossible(metrics: Iterable[str], samples: int, images: int | None = None) -> str | None:
    """Why metrics cannot be computed of so many samples against so many images of the data; None where all can."""
    found = []
    for name in metrics:
        metric = METRICS[name]
        if samples < metric.least_samples and not metric.optional:
            found.append(f"{name} needs at least {metric.least_samples} samples ({metric.reason})")
        elif images is not None and images < metric.least_images:
            found.append(f"{name} needs at least {metric.least_images} images of the data ({metric.reason})")
    return ", ".join(found) or None


def label(metric: str) -> str:
    """What people call a metric; an unknown one by its own name."""
    return METRICS[metric].label if metric in METRICS else metric


def lower_is_better(metric: str) -> bool:
    """Whether less of it means better samples; so it is for what is not known here."""
    return metric not in METRICS or METRICS[metric].better == "lower"


def leading(metrics: Iterable[str]) -> str:
    """The metric that the answer and the figures are about: FID where it was computed, else the next in order."""
    found = list(metrics)
    return next((name for name in METRICS if name in found), found[0] if found else "fid")


def direction(metrics: list[str]) -> str:
    """``lower is better``, or for which metrics it is not."""
    higher = [label(metric) for metric in metrics if not lower_is_better(metric)]
    return f"lower is better, but higher for {', '.join(higher)}" if higher else "lower is better"
