"""MLflow's metrics of a run: training metrics by step, and scores by number of network evaluations."""

from collections.abc import Mapping
from statistics import fmean

from mlflow.entities import Metric

from tdbench.records.schema import MetricsLine, Score, SnapshotEntry


def training_metrics(lines: list[MetricsLine], started: int) -> list[Metric]:
    """One metric per figure and line of metrics.jsonl, by training step; ``started`` is in milliseconds."""
    return [
        Metric(f"train/{key}", value, started + int(line.seconds * 1000), line.step)
        for line in lines
        for key, value in line.figures.items()
        if key not in ("step", "seconds") and value is not None
    ]


def curve_metrics(
    scores: list[Score], snapshots: Mapping[int, SnapshotEntry], batch_size: int, started: int
) -> list[Metric]:
    """The scores of a curve by training step, such as ``curve/fid/clean-fid/nfe-017``.

    Parameters
    ----------
    snapshots : mapping
        Images shown -> snapshot.
    started : int
        Begin of the training, milliseconds since the epoch.
    """
    found = []
    for row in scores:
        images = round(row.snapshot_kimg * 1000)
        time = started + int(1000 * (snapshots[images].seconds or 0.0))
        name = f"curve/{row.metric}/{row.library}/nfe-{row.nfe:03d}"
        found.append(Metric(name, row.value, time, images // batch_size))
    return found


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
