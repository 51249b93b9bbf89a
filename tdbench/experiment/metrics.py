"""Registry of the metrics: their names, direction and libraries.

It is separate from the code that computes them, so that experiments and reports can be read without the libraries.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

Better = Literal["lower", "higher"]


class Metric(NamedTuple):
    """A metric of a set of samples."""

    label: str
    """Name in tables and figures."""
    better: Better
    libraries: tuple[str, ...]
    """The libraries that compute it."""
    function: str
    """Function (library's module, Samples, ReferenceFeatures, Evaluation) -> dict of name -> value, for this metric and
    those computed with it; empty if the extractor does not provide what it needs."""
    last_only: bool = False
    """Whether only the last snapshot gets it, because it is slow."""
    least_samples: int = 2
    """Least number of samples for a meaningful value."""
    least_images: int = 2
    """Least number of images in the data set."""
    reason: str = "a covariance"
    """The part of the computation that needs so many."""
    optional: bool = False
    """Whether it is skipped with a warning below that; other metrics reject the experiment."""
    spread: str = ""
    """Function (features, Statistics of the reference, resamplings) -> standard deviation over bootstrap resamplings of
    the images (`Evaluation.bootstrap`); empty for none."""


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
    # It is computed in ten parts; a part of one image always scores 1.
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
    """Return the metrics that are skipped for lack of samples: name -> reason."""
    few = [name for name in metrics if METRICS[name].optional and samples < METRICS[name].least_samples]
    return {name: f"needs {METRICS[name].least_samples} samples ({METRICS[name].reason})" for name in few}


def impossible(metrics: Iterable[str], samples: int, images: int | None = None) -> str | None:
    """Return why metrics need more samples or more images of the data, or None if there are enough."""
    found = []
    for name in metrics:
        metric = METRICS[name]
        if samples < metric.least_samples and not metric.optional:
            found.append(f"{name} needs at least {metric.least_samples} samples ({metric.reason})")
        elif images is not None and images < metric.least_images:
            found.append(f"{name} needs at least {metric.least_images} images of the data ({metric.reason})")
    return ", ".join(found) or None


def label(metric: str) -> str:
    """Return the label of a metric, or the name of an unknown one."""
    return METRICS[metric].label if metric in METRICS else metric


def lower_is_better(metric: str) -> bool:
    """Return whether a lower value is better; true for unknown metrics."""
    return metric not in METRICS or METRICS[metric].better == "lower"


def leading(metrics: Iterable[str]) -> str:
    """Return the main metric of answer and figures: the first computed one in the order of `METRICS`, FID first."""
    found = list(metrics)
    return next((name for name in METRICS if name in found), found[0] if found else "fid")


def direction(metrics: list[str]) -> str:
    """Return ``lower is better``, with the metrics that are exceptions."""
    higher = [label(metric) for metric in metrics if not lower_is_better(metric)]
    return f"lower is better, but higher for {', '.join(higher)}" if higher else "lower is better"
