"""Expands an experiment to its runs: the matrix, the cases of its ablations, and the runs that share weights."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tdbench.diffusion.formulations.base import Formulation
from tdbench.errors import TdbenchError
from tdbench.experiment.cases import Case
from tdbench.experiment.equal_passes import Compared, with_longer_baselines
from tdbench.experiment.extractors import too_large
from tdbench.experiment.known import Known
from tdbench.experiment.mechanism import with_mechanisms
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import NoSuchSetting, Run
from tdbench.experiment.schema import Ablation, Experiment, pair_name
from tdbench.experiment.yaml import Content
from tdbench.networks import misfit
from tdbench.validation import did_you_mean, explain, same_but_for_case

MOST_RUNS = 50_000
MOST_MISTAKES = 50
_NO_SUCH_SETTING = ": no such setting of "
VARIABLE = ("objective", "formulation", "network", "training", "sampling", "evaluation")


def expand(experiment: Experiment, path: Path) -> Plan:
    """Return all runs of an experiment and the cases of its ablations; raises TdbenchError with all mistakes."""
    _check_size(experiment, path)
    known, found = Known(), _Found()
    builder = _Builder(experiment, path)
    builder.check_names()
    built: list[Run] = []
    for cell in builder.cells():
        with found.noted():
            built.append(builder.run(*cell, {}, f"{path}"))
    cases, runs = {}, {}
    compared = _compared(built, known, experiment.baseline, path) if not found else Compared((), (), ())
    for name, ablation in experiment.ablations.items():
        with found.noted(f"{path}: ablations.{name}.vary: "):
            cases[name], runs[name] = builder.ablation(name, ablation, known)
    found.end()
    _check_comparable(compared.comparison, experiment, path)
    plan = Plan(experiment=experiment, path=path, **compared._asdict(), ablations=cases, ablation_runs=runs)
    given = experiment.training.distance_weights
    # Check all runs, since an override or an ablation may set the distance.
    if given is not None and not any(run.formulation.distance_weights_needed for run in plan.runs.values()):
        raise TdbenchError(
            f"{path}: training.distance_weights: {given}: no formulation here has distance: lpips, which uses it"
        )
    return plan


def _compared(built: Iterable[Run], known: Known, baseline: str, path: Path) -> Compared:
    """Return the runs of the comparison and the longer baselines, with the weights that they share."""
    sharing = Known()
    first = with_longer_baselines(tuple(sharing.shared(run) for run in built), baseline, path)
    first = first._replace(comparison=with_mechanisms(first.comparison))
    # A longer baseline that trains its own weights may share them with another one.
    longer = tuple(run if run.trained_as else sharing.shared(run) for run in first.longer)
    for run in (*first.comparison, *longer):
        known.add(run)
    return first._replace(longer=longer)


class _Found:
    """Mistakes found so far. A mistake that many runs share is kept once."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    @contextmanager
    def noted(self, place: str = "") -> Iterator[None]:
        """Collect the mistakes of the block and continue, up to a limit.

        ``place`` is the prefix of an ablation's lines. Mistakes of its base that are already known are skipped.
        """
        try:
            yield
        except TdbenchError as error:
            for line in error.mistakes:
                if place and any(known.endswith(line.removeprefix(place)) for known in self._lines.values()):
                    continue
                # Keep only the first cell that lacks a setting.
                self._lines.setdefault(line.partition(_NO_SUCH_SETTING)[0], line)
            if len(self._lines) >= MOST_MISTAKES:
                self.end()

    def end(self) -> None:
        """Raise all mistakes, if there are any."""
        if self._lines:
            raise TdbenchError(*self._lines.values())


def _check_size(experiment: Experiment, path: Path) -> None:
    """Reject a matrix with far too many runs before it is expanded."""
    e, seeds = experiment, len(experiment.seeds)
    counts = {"seeds": len(e.datasets) * len(e.formulations) * len(e.objectives) * seeds}
    for name, ablation in e.ablations.items():
        cells = len(ablation.datasets or e.datasets) * len(ablation.formulations or e.formulations)
        counts[f"ablations.{name}.vary"] = cells * seeds * math.prod(map(len, ablation.vary.values()))
    for key, count in counts.items():
        if count > MOST_RUNS:
            raise TdbenchError(
                f"{path}: {key}: makes {count:,} runs, but at most {MOST_RUNS:,} are allowed; split the experiment"
            )


def _check_comparable(comparison: tuple[Run, ...], experiment: Experiment, path: Path) -> None:
    """Reject an objective that has no score in common with its baseline."""
    cells = {(run.dataset_name, run.formulation_name, run.objective_name): run for run in comparison}
    for (dataset, formulation, objective), run in cells.items():
        base = cells[dataset, formulation, experiment.baseline]
        where = f"{path}: overrides: {pair_name(dataset, formulation)}: objective {objective!r}"
        if run.sampling.sampler != base.sampling.sampler:
            raise TdbenchError(
                f"{where}: sampling.sampler: {run.sampling.sampler.kind!r} differs from the baseline's "
                f"{base.sampling.sampler.kind!r} in kind or settings; use the same sampler for both"
            )
        if run.sampling.classes != base.sampling.classes:
            raise TdbenchError(
                f"{where}: sampling.classes: {run.sampling.classes!r} differs from the baseline's "
                f"{base.sampling.classes!r}; use the same for both"
            )
        needed: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
            "sampling.steps": (run.sampling.steps, base.sampling.steps),
            "evaluation.libraries": (run.evaluation.libraries, base.evaluation.libraries),
        }
        for key, (mine, its) in needed.items():
            if not set(mine) & set(its):
                raise TdbenchError(
                    f"{where}: {key}: {list(mine)}: has nothing in common with the baseline's {list(its)}; "
                    "give at least one value that both have"
                )


class _Builder:
    """Builds the runs of one experiment."""

    def __init__(self, experiment: Experiment, path: Path) -> None:
        self.experiment, self.path = experiment, path

    def check_names(self) -> None:
        """Reject names that would give two runs, or two pairs, the same name."""
        axes = (self.experiment.datasets, self.experiment.formulations, self.experiment.objectives)
        runs = [f"{d}/{f}-{o}-seed{self.experiment.seeds[0]}" for d, f, o in itertools.product(*axes)]
        for names in (runs, self.experiment.pairs):
            if (twice := same_but_for_case(names)) is not None:
                raise TdbenchError(
                    f"{self.path}: two combinations of datasets, formulations and objectives are called {twice[1]!r}; "
                    "rename one"
                )

    def cells(self) -> Iterator[tuple[str, str, str, int]]:
        """Return data set, formulation, objective and seed of every run of the comparison."""
        e = self.experiment
        return itertools.product(e.datasets, e.formulations, e.objectives, e.seeds)

    def run(self, dataset: str, formulation: str, objective: str, seed: int, varied: Content, where: str) -> Run:
        """Build one run from the experiment's settings, then its overrides for that cell, then ``varied``."""
        e = self.experiment
        content: Content = {
            "file": self.path,
            "experiment": e.name,
            "dataset_name": dataset,
            "dataset": e.datasets[dataset].model_dump(),
            "formulation_name": formulation,
            "formulation": e.formulations[formulation].model_dump(by_alias=True),
            "objective_name": objective,
            "objective": e.objectives[objective].model_dump(by_alias=True),
            "network": e.network.model_dump(),
            "training": e.training.model_dump(),
            "sampling": e.sampling.model_dump(by_alias=True),
            "evaluation": e.evaluation.model_dump(),
            "seed": seed,
        }
        cell = {"datasets": dataset, "formulations": formulation, "objectives": objective}
        replaced: list[tuple[str, Any, str]] = []
        for i, override in enumerate(e.overrides):
            if all(not getattr(override, axis) or name in getattr(override, axis) for axis, name in cell.items()):
                replaced += [(key, value, f"{self.path}: overrides.{i}.set") for key, value in override.set.items()]
        _Cell(content).replace_all([*replaced, *((key, value, where) for key, value in varied.items())])
        if varied:
            content["objective_name"] = f"{objective}-{_suffix(varied)}"
        return self._validated(content, where, objective)

    def _validated(self, content: Content, where: str, objective: str) -> Run:
        try:
            run = Run.model_validate(content)
        except ValidationError as error:
            place = f"{self.path}: objectives.{objective}" if where == str(self.path) else where
            raise TdbenchError(*_explained(error, where, place, content)) from error
        resolution, _ = run.dataset.size(self.path)
        if resolution is not None and (misfitting := misfit(run.network.kind, resolution)) is not None:
            raise TdbenchError(f"{self.path}: network: {run.network.kind!r}: {run.dataset_name}: {misfitting}")
        features = run.evaluation.features
        if resolution is not None and (wrong := too_large(features, resolution)) is not None:
            raise TdbenchError(f"{self.path}: evaluation.features: {features!r}: {run.dataset_name}: {wrong}")
        if (wrong := _infinite(run.formulation)) is not None:
            place = f"{self.path}: formulations.{run.formulation_name}" if where == str(self.path) else where
            raise TdbenchError(f"{place}: {run.formulation.kind}: {wrong}")
        return run

    def ablation(self, name: str, ablation: Ablation, known: Known) -> tuple[tuple[Case, ...], tuple[Run, ...]]:
        """Return cases and runs of one ablation. A case that equals an existing run uses that run."""
        cases, runs, e = [], [], self.experiment
        datasets, formulations = ablation.datasets or tuple(e.datasets), ablation.formulations or tuple(e.formulations)
        for dataset, formulation, values in itertools.product(
            datasets, formulations, itertools.product(*ablation.vary.values())
        ):
            settings = dict(zip(ablation.vary, values, strict=True))
            label = ", ".join(f"{key.rsplit('.', 1)[-1]} = {_words(value)}" for key, value in settings.items())
            where = f"{self.path}: ablations.{name}.vary"
            made = [self.run(dataset, formulation, ablation.base, seed, settings, where) for seed in e.seeds]
            variants = [self._known_or_new(run, known, name) for run in made]
            runs += variants
            cases.append(
                Case(
                    settings=settings,
                    label=label,
                    dataset_name=dataset,
                    formulation_name=formulation,
                    objective_name=variants[0].objective_name,
                )
            )
        return tuple(cases), tuple(runs)

    def _known_or_new(self, run: Run, known: Known, ablation: str) -> Run:
        if (other := known.same_as(run)) is not None:
            return other
        if run.name.casefold() in known.names:
            raise TdbenchError(
                f"{self.path}: ablations.{ablation}: two different runs would be named {run.name!r}; rename one"
            )
        return known.shared(run)


def _explained(error: ValidationError, where: str, objective: str, content: Content) -> list[str]:
    """Return the mistakes of a run; ``objective`` is the place of a setting that the formulation does not have."""
    unset = [e["ctx"]["error"] for e in error.errors() if isinstance(e.get("ctx", {}).get("error"), NoSuchSetting)]
    others = [] if len(unset) == error.error_count() else explain(where, content, error)
    return others or [f"{objective}: {content['formulation_name']}: {found}" for found in unset]


_ENDS: dict[tuple[type, str], str | None] = {}
"""Cached results of `_infinite` by class and settings, because most runs of an experiment share a formulation."""


def _infinite(formulation: Formulation) -> str | None:
    """Return what is wrong at the ends of a formulation's path, or None."""
    key = (type(formulation), formulation.model_dump_json(by_alias=True))
    if key not in _ENDS:
        try:
            formulation.check_ends()
            _ENDS[key] = None
        except ValueError as error:
            _ENDS[key] = str(error)
        except Exception as error:  # user code may raise anything
            _ENDS[key] = f"its path cannot be computed ({type(error).__name__}: {error})"
    return _ENDS[key]


_ONE_A_FILE = {
    "evaluation.features": "all runs of an experiment use the same features; write a second experiment for others",
    "evaluation.weights": "all runs of an experiment use the same files; write a second experiment for others",
    "training.distance_weights": "all runs of an experiment use the same file; write a second experiment for others",
}
"""Settings that must be the same for all runs, with the message; keys below them are included."""


class _Cell:
    """The settings of a run before validation, in which overrides and varied values replace some."""

    def __init__(self, content: Content) -> None:
        self.content = content

    def replace_all(self, replaced: list[tuple[str, Any, str]]) -> None:
        """Set dotted keys, each with its value and its place for messages; raises all mistakes at once."""
        wrong: list[str] = []
        for key, value, where in replaced:
            try:
                self._replace(key, value, where)
            except TdbenchError as error:
                wrong += error.mistakes
        if wrong:
            raise TdbenchError(*wrong)

    def _replace(self, key: str, value: Any, where: str) -> None:
        """Set a dotted key, such as ``objective.lambda``."""
        for fixed, reason in _ONE_A_FILE.items():
            if key == fixed or key.startswith(f"{fixed}."):
                raise TdbenchError(f"{where}: {key}: {reason}")
        *parents, leaf = key.split(".")
        block: Any = self.content
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        if not parents or parents[0] not in VARIABLE or not isinstance(block, dict) or leaf not in block:
            allowed, near = ", ".join(VARIABLE), did_you_mean(key, self._dotted())
            cell = f"{self.content['formulation_name']}-{self.content['objective_name']}"
            raise TdbenchError(
                f"{where}: {key}{_NO_SUCH_SETTING}{cell}{near}; give a dotted key below {allowed}, "
                "such as objective.weight"
            )
        block[leaf] = value

    def _dotted(self) -> Iterator[str]:
        """Yield the dotted keys that may be set."""
        for name in VARIABLE:
            for key, value in self.content[name].items():
                yield f"{name}.{key}"
                if isinstance(value, dict):
                    yield from (f"{name}.{key}.{inner}" for inner in value)


def _words(value: Any) -> str:
    """Format a varied value for a label: ``{kind: hard, period: 10}`` becomes ``hard 10``."""
    if not isinstance(value, dict):
        return str(value)
    return " ".join(str(value[key]) for key in sorted(value, key=lambda key: (key != "kind", key)))


def _suffix(settings: Content) -> str:
    """Return the suffix that a varied run adds to the name of its base objective."""
    text = "-".join(f"{key.rsplit('.', 1)[-1]}-{_words(value)}" for key, value in settings.items())
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
