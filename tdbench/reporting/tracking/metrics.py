"""MLflow's metrics of a run: training metrics by step, and scores by number of network evaluations."""

from collections.abc import Mapping
from statistics import fmean

from mlflow.entities import Metric

from tdbench.records.schema import MetricsLine, Score


def training_metrics(lines: list[MetricsLine], started: int) -> list[Metric]:
    """One metric per figure and line of metrics.jsonl, by training step; ``started`` is in milliseconds."""
    return [
        Metric(f"train/{key}", value, started + int(line.seconds * 1000), line.step)
        for line in lines
        for key, value in line.figures.items()
        if key not in ("step", "seconds") and value is not None
    ]


def score_metrics(scores: list[Score], time: int, step: int, about: Mapping[str, Mapping[str, str]]) -> list[Metric]:
    """Scores as metrics, averaged over the snapshots in ``scores``.

    Each score is logged twice: as ``fid/clean-fid`` at step 17 for the curve against NFE, and as
    ``fid/clean-fid/nfe-017``, so that tables can be sorted by the score at one NFE.

    Parameters
    ----------
    scores : list
        Rows of scores.json.
    time : int
        Time of the metrics, milliseconds since the epoch.
    step : int
        Training step of the metrics for one NFE.
    about : mapping
        Library -> model and data set of these metrics, so that the page of the model shows them; empty without one.
    """
    values: dict[tuple[str, str, int], list[float]] = {}
    for row in scores:
        values.setdefault((row.metric, row.library, row.nfe), []).append(row.value)
    found = []
    for (metric, library, nfe), several in values.items():
        name, mean = f"{metric}/{library}", fmean(several)
        found.append(Metric(name, mean, time, nfe))
        found.append(Metric(f"{name}/nfe-{nfe:03d}", mean, time, step, **about.get(library, {})))
    return found
