"""The runs of an experiment found so far: which of them share weights, and which are equal."""

import json

from tdbench.experiment.run import FOR_OTHERS, Run


class Known:
    """Runs found so far, indexed so that a lookup takes constant time."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._by_weights: dict[str, Run] = {}
        self._by_settings: dict[str, Run] = {}

    def shared(self, run: Run) -> Run:
        """Add ``run`` and return it. If an earlier run trains the same weights, the result refers to that run."""
        key = _weights_key(run)
        twin = self._by_weights.get(key)
        found = run if twin is None else run.model_copy(update={"trained_as": twin.weights_name})
        self.add(found)
        return found

    def add(self, run: Run) -> None:
        """Add a run as it is."""
        self._by_weights.setdefault(_weights_key(run), run)
        self._by_settings.setdefault(_settings_key(run), run)
        # Some file systems ignore case.
        self.names.add(run.name.casefold())

    def same_as(self, run: Run) -> Run | None:
        """Return an earlier run that differs only in its name, or None."""
        return self._by_settings.get(_settings_key(run))


def _weights_key(run: Run) -> str:
    return json.dumps([run.dataset_name, run.alone().training_settings()], sort_keys=True)


def _settings_key(run: Run) -> str:
    apart = {"objective_name", "trained_as", *FOR_OTHERS}
    return json.dumps(run.model_dump(mode="json", exclude=apart), sort_keys=True)
