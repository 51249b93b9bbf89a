"""Stored scores, and whether they are what the experiment asks for."""

from typing import Any

from tdbench.errors import TdbenchError
from tdbench.files import read_json
from tdbench.layout import RunLayout
from tdbench.plan import Run
from tdbench.sampling import read_sampled


def read_scored(run: Run, layout: RunLayout) -> list[dict[str, Any]]:
    """The scores of a run: one row a library, metric and sample set.

    Raises
    ------
    TdbenchError
        If they are missing, or if they, the samples or the weights behind them were made with other settings
        than the experiment's.
    """
    command = f"tdbench evaluate {run.experiment} {run.name}"
    stored, samples = read_json(layout.scores, command), read_sampled(run, layout)
    same_samples = {s["samples"] for s in stored["scores"]} == {entry["sha256"] for entry in samples}
    if stored.get("evaluation") != run.evaluation_settings() or not same_samples:
        raise TdbenchError(
            f"{layout.scores}: of other samples or settings than the experiment's; run `{command}` again"
        )
    scores: list[dict[str, Any]] = stored["scores"]
    return scores
