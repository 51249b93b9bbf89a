"""Template for a metric: the distance between the mean features of the samples and of the data.

To use it, copy this file beside your experiment file and add there: `plugins: [own_metric.py]` and
`evaluation: {metrics: [fid, mean-distance]}`.
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
    """Compute the metric of one set of N samples against the M images of the data set. Change this function.

    samples.features: (N, D) float64; samples.statistics: mean (D,) and covariance (D, D)
    samples.logits: (N, K) float64, or None if the extractor has no classes
    reference.features: (M, D) float64; reference.statistics: mean (D,) and covariance (D, D)
    library: tdbench.evaluation.torch_fidelity or clean_fid; settings: the block `evaluation` of the experiment file
    Returns name -> value. Return {} to leave the metric out. A value that is not finite stops the run.
    """
    return {"mean-distance": float(np.linalg.norm(samples.statistics.mean - reference.statistics.mean))}


# The name must be the key that the function returns.
register("metric", "mean-distance")(
    Metric(
        label="mean distance",  # its name in the report
        better="lower",  # or "higher"
        # Each library adds a row to the scores. One is enough for a metric that calls no code of a library.
        libraries=("torch-fidelity",),
        function=f"{__name__}:mean_distance",
        least_samples=2,  # fewer samples are refused
    )
)
