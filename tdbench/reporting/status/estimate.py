"""Estimates the time left of an experiment from the measured times of its runs."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from pkgutil import resolve_name

from tdbench.records.layout import RunLayout
from tdbench.records.stages import STAGES, Stage, following
from tdbench.reporting.status.expected import Expected
from tdbench.reporting.status.run import AT_WORK, RunStatus, content_of
from tdbench.reporting.status.work import Left


def seconds_left(results: Path, statuses: list[RunStatus]) -> dict[str, float | None]:
    """Seconds until all runs have finished each stage, with as many runs at a time as now; skips runs in trouble.

    Empty if nothing is running, because the number of parallel runs is then unknown. None for a stage without a
    measurement from a run with the same data set, network and sampler.
    """
    working = [status for status in statuses if status.state in AT_WORK]
    if not working:
        return {}
    costs = _Costs(results, statuses)
    ahead: dict[str, list[float | None]] = {stage: [] for stage in STAGES}
    for status in statuses:
        if status.state in AT_WORK:
            ahead[status.stage].append(status.seconds_left)
        if status.state in (*AT_WORK, "waiting"):
            for stage in _ahead(status):
                ahead[stage].append(costs.of(status.run, stage))
    return {stage: _together(parts, len(working)) for stage, parts in ahead.items() if parts}


def _together(parts: list[float | None], at_a_time: int) -> float | None:
    """Seconds for several parts in parallel, at least those of the longest; None if one is unknown."""
    known = [part for part in parts if part is not None]
    return max(sum(known) / at_a_time, *known) if len(known) == len(parts) else None


def _ahead(status: RunStatus) -> list[str]:
    here = [] if status.state in AT_WORK else [STAGES[status.stage]]
    ahead, own = [*here, *following(status.stage)], status.run.weights_name == status.run.name
    return [stage.name for stage in ahead if own or not stage.shared]


class _Costs:
    """Measured seconds per unit of work, of runs that differ only by seed, else of runs with the same network."""

    def __init__(self, results: Path, statuses: Iterable[RunStatus]) -> None:
        seen: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
        for status in statuses:
            measured = [
                (name, _took(results, status.run, stage), _work(status.run, name)) for name, stage in STAGES.items()
            ]
            # A running stage gives a measurement before it ends.
            measured.append((status.stage, status.seconds_left, _work_left(status)))
            for stage, took, work in measured:
                if took is not None and work:
                    for key in _keys(status.run, stage):
                        seen[key].append((took, work))
        self._seconds = {key: sum(s for s, _ in found) / sum(w for _, w in found) for key, found in seen.items()}

    def of(self, run: Expected, stage: str) -> float | None:
        """Estimated seconds of a stage of a run; None if unknown."""
        work = _work(run, stage)
        unit = next((self._seconds[key] for key in _keys(run, stage) if key in self._seconds), None)
        return None if unit is None or work is None else unit * work


def _work_left(status: RunStatus) -> float | None:
    if status.done is None or status.total is None:
        return None
    left: Left | None = resolve_name(STAGES[status.stage].left)(status.run, status.done, status.total)
    return None if left is None else left.work


def _keys(run: Expected, stage: str) -> list[Hashable]:
    """Keys that runs with similar costs share, the most specific first."""
    keys: list[Hashable] = [(stage, run.group)]
    if run.network is not None:
        dataset = run.name.partition("/")[0]
        keys.append((stage, dataset, run.network, run.sampler if STAGES[stage].by_sampler else None))
    return keys


def _work(run: Expected, stage: str) -> float | None:
    found: float | None = resolve_name(STAGES[stage].work)(run)
    return found


def _took(results: Path, run: Expected, stage: Stage) -> float | None:
    """Seconds that a finished stage took, from its own file; None if unknown."""
    if stage.shared and run.weights_name != run.name:
        return None
    try:
        found: float | None = resolve_name(stage.seconds)(content_of(RunLayout(results, run), stage.name))
        return found
    except Exception:  # missing, damaged, or of another version
        return None
