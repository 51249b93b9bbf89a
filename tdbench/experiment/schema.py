"""The schema of the experiment file.

An experiment defines what varies; `tdbench.experiment.load` expands it to runs. The models below are the only
definition of the schema.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from tdbench.data.images import LARGEST_SIDE, SMALLEST_SIDE
from tdbench.data.sources import SOURCES, check_source
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.objectives import OBJECTIVES
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.samplers import SAMPLERS, Heun, Sampler
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.training import LARGEST_BATCH, Training
from tdbench.networks import NetworkSettings
from tdbench.settings import Parameters, kind_from_name, of_kind, one_of
from tdbench.validation import Mistakes, did_you_mean, same_but_for_case

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = ("datasets", "mlflow", "published", "reference", "weights")
# Far beyond any use. A larger value is a typing mistake that would exhaust the memory or run all night.
MOST_IMAGES, MOST_STEPS = 100_000_000, 10_000


def _name(value: Any) -> Any:
    if not (isinstance(value, str) and NAME.fullmatch(value) and len(value) <= 120):
        raise ValueError("a name becomes a folder name: use letters, digits, '.', '_' and '-', at most 120 characters")
    return value


def _text(value: str) -> str:
    if not all(c.isprintable() or c in "\n\t" for c in value):
        raise ValueError("holds a control character")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Text = Annotated[str, AfterValidator(_text)]
AnyFormulation = Annotated[SerializeAsAny[Formulation], of_kind(FORMULATIONS, "formulation")]
AnyObjective = Annotated[SerializeAsAny[Objective], of_kind(OBJECTIVES, "objective")]
AnySampler = Annotated[SerializeAsAny[Sampler], of_kind(SAMPLERS, "sampler")]


class Dataset(Parameters):
    """The source of a data set."""

    source: Annotated[str, one_of(SOURCES, "data source")]
    path: Annotated[Path | None, Field(description="for sources that read a user's files")] = None
    resolution: Annotated[
        int | None, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE, description="for sources that resize images")
    ] = None

    @model_validator(mode="after")
    def _as_the_source_needs(self) -> Self:
        check_source(self.source, self.path, self.resolution)
        return self

    def found_path(self, experiment: Path) -> Path | None:
        """Return ``path`` relative to the experiment file or, if only that exists, to the working folder.

        If both or neither exist, it is the one relative to the experiment file.
        """
        if self.path is None:
            return None
        beside = experiment.parent / self.path
        return self.path if self.path.exists() and not beside.exists() else beside

    def size(self, experiment: Path) -> tuple[int | None, int | None]:
        """Return resolution and channels of the images; None for what is unknown before the archive exists."""
        source, path = SOURCES[self.source], self.found_path(experiment)
        if source.nominal is not None:
            return self.resolution or source.nominal.resolution, source.nominal.channels
        if source.size is not None and path is not None and (found := source.size(path)) is not None:
            return self.resolution or found[0], found[1]
        return self.resolution, None


class Sampling(Parameters):
    """How snapshots are sampled."""

    sampler: AnySampler = Heun()
    steps: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_STEPS)], ...], Field(min_length=1, description="step budgets")
    ]
    images: Annotated[int, Field(ge=2, le=MOST_IMAGES, description="images per snapshot and budget")]
    classes: Annotated[
        Literal["data", "even"],
        Field(description="classes of the samples: in the proportions of the data, or evenly"),
    ] = "data"
    batch_size: Annotated[int, Field(ge=1, le=LARGEST_BATCH)] = 256

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps must increase without repetition, got {list(self.steps)}")
        return self


class _Selection(Parameters):
    """A selection of the experiment's cells; an empty list means all."""

    datasets: tuple[Name, ...] = ()
    formulations: tuple[Name, ...] = ()


class Override(_Selection):
    """Settings for some cells only. If two overrides match a cell, the later one wins."""

    objectives: tuple[Name, ...] = ()
    set: Annotated[dict[str, Any], Field(min_length=1, description="dotted key, such as sampling.steps: value")]


class Ablation(_Selection):
    """Variations of one objective: the product of the listed values; all other settings are those of the base."""

    base: Name
    vary: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    description: Text = ""
    prediction: Annotated[Text, Field(description="what is expected, to stand beside what came out")] = ""


class Experiment(Parameters):
    """The content of an experiment file."""

    name: Name
    description: Text = ""
    plugins: Annotated[tuple[str, ...], Field(description="Python files or entry points that register more kinds")] = ()
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    formulations: Annotated[dict[Name, AnyFormulation], BeforeValidator(kind_from_name), Field(min_length=1)]
    objectives: Annotated[dict[Name, AnyObjective], BeforeValidator(kind_from_name), Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    network: Annotated[NetworkSettings, BeforeValidator(lambda v: {"kind": v} if isinstance(v, str) else v)]
    training: Training
    sampling: Sampling
    evaluation: Evaluation = Evaluation()
    overrides: tuple[Override, ...] = ()
    ablations: dict[Name, Ablation] = Field(default_factory=dict)
    runs_per_job: Annotated[
        int, Field(ge=1, description="runs that one process takes through a stage; use more for small runs")
    ] = 1
    published: Annotated[
        tuple[Name, ...], Field(description="published figures to show beside the results: results/published/NAME.csv")
    ] = ()

    @property
    def pairs(self) -> list[str]:
        """Names of all pairs of data set and formulation."""
        return [pair_name(dataset, formulation) for dataset in self.datasets for formulation in self.formulations]

    @property
    def baseline(self) -> str:
        """Name of the baseline objective."""
        return next(name for name, objective in self.objectives.items() if objective.kind == "baseline")

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        if name.lower() in RESERVED:
            raise ValueError("is the name of a folder that tdbench keeps in the results; choose another name")
        return name

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is listed twice")
        return seeds

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if mistakes := [*self._wrong_objectives(), *self._wrong_names(), *self._wrong_cases()]:
            raise Mistakes(mistakes)
        return self

    def _wrong_objectives(self) -> Iterator[str]:
        baselines = [name for name, objective in self.objectives.items() if objective.kind == "baseline"]
        where = f"objectives: {list(self.objectives)}"
        if len(baselines) != 1:
            yield f"{where}: exactly one must be of kind baseline, to compare with"
        elif len(self.objectives) < 2:
            yield f"{where}: name another one, such as td, to compare with the baseline"

    def _wrong_names(self) -> Iterator[str]:
        """Yield mistakes for names of data sets, formulations and objectives that do not exist."""
        for i, override in enumerate(self.overrides):
            for axis in ("datasets", "formulations", "objectives"):
                yield from _unknown(f"overrides.{i}.{axis}", getattr(override, axis), getattr(self, axis))
        for name, ablation in self.ablations.items():
            for axis in ("datasets", "formulations"):
                yield from _unknown(f"ablations.{name}.{axis}", getattr(ablation, axis), getattr(self, axis))
            yield from _unknown(f"ablations.{name}.base", (ablation.base,), self.objectives)

    def _wrong_cases(self) -> Iterator[str]:
        """Yield mistakes for names that share a folder on a file system that ignores case."""
        for axis in ("datasets", "formulations", "objectives", "ablations"):
            if (twice := same_but_for_case(getattr(self, axis))) is not None:
                yield f"{axis}: {twice[0]!r} and {twice[1]!r} differ only in case, which some file systems ignore"


def _unknown(key: str, given: tuple[str, ...], known: dict[Name, Any]) -> Iterator[str]:
    for name in given:
        if name not in known:
            yield f"{key}: {name!r}: no such name{did_you_mean(name, known)}; known: {', '.join(known)}"


class Collection(Parameters):
    """A file that lists experiments to run together. Each keeps its own results and report."""

    name: Name
    description: Text = ""
    includes: Annotated[
        tuple[str, ...], Field(min_length=1, description="names of experiments, or paths relative to this file")
    ]


def pair_name(dataset: str, formulation: str) -> str:
    """Return the name of the figures of one data set and formulation."""
    return f"{dataset}-{formulation}"
