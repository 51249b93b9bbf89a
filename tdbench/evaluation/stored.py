"""Stored scores, and whether they are what the experiment asks for."""

from typing import Any

from tdbench import advice
from tdbench.errors import TdbenchError
from tdbench.layout import RunLayout
from tdbench.records import Scored, read_record
from tdbench.run import Run
from tdbench.sampling import read_sampled


def read_scored(run: Run, layout: RunLayout) -> list[dict[str, Any]]:
    """The scores of a run: one row a library, metric and sample set.

    Raises
    ------
    TdbenchError
        If they are missing, or if they, the samples or the weights behind them were made with other settings
        than the experiment's.
    """
    scores: list[dict[str, Any]] = _stored(run, layout)["scores"]
    return scores


def read_nearest(run: Run, layout: RunLayout) -> dict[str, Any]:
    """The samples of a run that come nearest to images of the data (`memorisation.nearest_in_data`).

    With ``snapshot_images`` and ``steps`` of the sample set; raises as `read_scored` does.
    """
    nearest: dict[str, Any] = _stored(run, layout)["nearest"]
    return nearest


def _stored(run: Run, layout: RunLayout) -> dict[str, Any]:
    command = advice.stage("evaluate", run, layout.results)
    stored = read_record(layout.scores, command, Scored)
    samples = read_sampled(run, layout)
    same_samples = {s["samples"] for s in stored["scores"]} == {entry["sha256"] for entry in samples}
    if stored.get("evaluation") != run.evaluation_settings() or not same_samples:
        raise TdbenchError(
            f"{layout.scores}: of other samples or settings than the experiment's; run `{command}` again"
        )
    return stored
