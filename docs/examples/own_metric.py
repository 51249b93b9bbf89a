"""Template for a metric: the distance between the mean features of samples and data.

Copy this file, change the function and the row, and name both in the experiment file:
``plugins: [own_metric.py]`` and ``evaluation: {metrics: [fid, mean-distance]}``.
"""

from types import ModuleType

import numpy as np

from tdbench.evaluation.features import ReferenceFeatures
from tdbench.evaluation.measure import Samples
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.metrics import Metric
from tdbench.plugins import register


def mean_distance(
    library: ModuleType, samples: Samples, reference: ReferenceFeatures, settings: Evaluation
) -> dict[str, float]:
    """Name -> value. ``samples.features`` is (N, D), ``reference.features`` (M, D), both float64."""
    return {"mean-distance": float(np.linalg.norm(samples.statistics.mean - reference.statistics.mean))}


register("metric", "mean-distance")(
    Metric(
        label="mean distance",
        better="lower",
        # In which columns it appears: here it does not depend on the library, so one is enough.
        libraries=("torch-fidelity",),
        # By name, so that the file can be read without the libraries that compute.
        function=f"{__name__}:mean_distance",
        least_samples=2,
    )
)
