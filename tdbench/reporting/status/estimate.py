"""Time that an experiment still takes, from what its runs took so far; nothing where too little was measured."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path
from pkgutil import resolve_name

from tdbench.records.layout import RunLayout
from tdbench.records.stages import STAGES, Stage, following
from tdbench.reporting.status.expected import Expected
from tdbench.reporting.status.run import AT_WORK, Stand, content_of
from tdbench.reporting.status.work import Left


def seconds_left(results: Path, stands: list[Stand]) -> dict[str, float | None]:
    """Seconds until all runs are through each stage, with as many at a time as now; runs in trouble are left out.

    Empty if nothing is at work, so that nobody knows how many will be at a time. None for a stage that was measured
    for no run of the same data set, network and sampler.
    """
    working = [stand for stand in stands if stand.state in AT_WORK]
    if not working:
        return {}
    costs = _Costs(results, stands)
    ahead: dict[str, list[float | None]] = {stage: [] for stage in STAGES}
    for stand in stands:
        if stand.state in AT_WORK:
            ahead[stand.stage].append(stand.seconds_left)
        if stand.state in (*AT_WORK, "waiting"):
            for stage in _ahead(stand):
                ahead[stage].append(costs.of(stand.run, stage))
    return {stage: _together(parts, len(working)) for stage, parts in ahead.items() if parts}


def _together(parts: list[float | None], at_a_time: int) -> float | None:
    """Seconds that several take side by side: no less than the longest."""
    known = [part for part in parts if part is not None]
    return max(sum(known) / at_a_time, *known) if len(known) == len(parts) else None


def _ahead(stand: Stand) -> list[str]:
    here = [] if stand.state in AT_WORK else [STAGES[stand.stage]]
    ahead, own = [*here, *following(stand.stage)], stand.run.weights_name == stand.run.name
    return [stage.name for stage in ahead if own or not stage.shared]


class _Costs:
    """Seconds a unit of work, measured: of runs that differ in the seed alone, else of those of one network."""

    def __init__(self, results: Path, stands: Iterable[Stand]) -> None:
        seen: dict[Hashable, list[tuple[float, float]]] = defaultdict(list)
        for stand in stands:
            measured = [
                (name, _took(results, stand.run, stage), _work(stand.run, name)) for name, stage in STAGES.items()
            ]
            # What is at work tells its pace before it ends.
            measured.append((stand.stage, stand.seconds_left, _work_left(stand)))
            for stage, took, work in measured:
                if took is not None and work:
                    for key in _keys(stand.run, stage):
                        seen[key].append((took, work))
        self._seconds = {key: sum(s for s, _ in found) / sum(w for _, w in found) for key, found in seen.items()}

    def of(self, run: Expected, stage: str) -> float | None:
        """Seconds that a stage of a run takes."""
        work = _work(run, stage)
        unit = next((self._seconds[key] for key in _keys(run, stage) if key in self._seconds), None)
        return None if unit is None or work is None else unit * work


def _work_left(stand: Stand) -> float | None:
    if stand.done is None or stand.total is None:
        return None
    left: Left | None = resolve_name(STAGES[stand.stage].left)(stand.run, stand.done, stand.total)
    return None if left is None else left.work


def _keys(run: Expected, stage: str) -> list[Hashable]:
    """What runs have in common that take alike, the closest first."""
    keys: list[Hashable] = [(stage, run.group)]
    if run.network is not None:
        dataset = run.name.partition("/")[0]
        keys.append((stage, dataset, run.network, run.sampler if STAGES[stage].by_sampler else None))
    return keys


def _work(run: Expected, stage: str) -> float | None:
    found: float | None = resolve_name(STAGES[stage].work)(run)
    return found


def _took(results: Path, run: Expected, stage: Stage) -> float | None:
    """Seconds that a finished stage took, as its own file says."""
    if stage.shared and run.weights_name != run.name:
        return None
    try:
        found: float | None = resolve_name(stage.seconds)(content_of(RunLayout(results, run), stage.name))
        return found
    except Exception:  # not there, damaged, or of another version: not measured
        return None
