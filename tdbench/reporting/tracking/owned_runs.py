"""The runs that a results folder owns in MLflow: finds them, distinguishes complete from partial, removes leftovers."""

import hashlib
import platform
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Run, ViewType

RUN, SNAPSHOT, KIND = "tdbench.run", "tdbench.snapshot", "tdbench.kind"
CONTENT, RESULTS = "tdbench.content", "tdbench.results"
PARENT = "mlflow.parentRunId"
_PAGE = 500


def owner(results: Path) -> str:
    """Identifier of a results folder, because a server may hold runs of the same name from other people and folders."""
    return hashlib.sha256(f"{platform.node()}:{results.resolve()}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class OwnedRuns:
    """Runs and models of one experiment and results folder, without deleted ones."""

    runs: list[Run]
    models: list[LoggedModel]

    @classmethod
    def find(cls, client: MlflowClient, experiment_id: str, results: Path) -> "OwnedRuns":
        """Search MLflow for them, page by page."""
        query = f"tags.`{RESULTS}` = '{owner(results)}'"
        return cls(
            _all_pages(
                lambda token: client.search_runs(
                    [experiment_id], query, ViewType.ACTIVE_ONLY, max_results=_PAGE, page_token=token
                )
            ),
            _all_pages(lambda token: client.search_logged_models([experiment_id], query, page_token=token)),
        )

    def whole(self, name: str, content: str, snapshots: Collection[int], models: int) -> str | None:
        """The id of the run ``name`` with this content if it was written completely; otherwise None.

        Parameters
        ----------
        snapshots : collection of int
            Images shown at the snapshots; each must be nested in the run exactly once.
        models : int
            Expected number of models of the run.
        """
        for run in self.runs:
            tags, run_id = run.data.tags, str(run.info.run_id)
            if tags.get(RUN) != name or tags.get(CONTENT) != content or run.info.status != "FINISHED":
                continue
            nested = [c for c in self.runs if c.data.tags.get(PARENT) == run_id]
            found = sorted(int(child.data.tags[SNAPSHOT]) for child in nested if child.info.status == "FINISHED")
            made = [model.status for model in self.models if model.source_run_id == run_id]
            if len(nested) == len(found) and found == sorted(snapshots) and made == [LoggedModelStatus.READY] * models:
                return run_id
        return None

    def clear(self, client: MlflowClient, names: Collection[str], kept: Collection[str]) -> None:
        """Delete all runs named in ``names`` except those in ``kept``; runs with other names stay."""
        for model in self.models:
            if model.tags.get(RUN) in names and model.source_run_id not in kept:
                client.delete_logged_model(model.model_id)
        for run in self.runs:
            belongs = run.data.tags.get(PARENT, run.info.run_id)
            if run.data.tags.get(RUN) in names and belongs not in kept:
                client.delete_run(run.info.run_id)


def _all_pages(ask: Callable[[str | None], Any]) -> list[Any]:
    """The results of all pages of a search; ``ask`` takes the token of a page."""
    found, token = [], None
    while True:
        page = ask(token)
        found += page
        token = page.token
        if not token:
            return found
