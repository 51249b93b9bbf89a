"""The experiment file: its schema, and its expansion to runs.

An experiment says what varies; a `Run` is one cell of the matrix with every setting made explicit. The
models below are the one source of the schema.
"""

import itertools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from tdbench.data.sources import SOURCES
from tdbench.diffusion.objectives import AnyFormulation
from tdbench.diffusion.samplers import SAMPLERS
from tdbench.diffusion.td import TDSettings
from tdbench.errors import TdbenchError
from tdbench.evaluation import FEATURES, LIBRARIES
from tdbench.mistakes import explain, plain, read_yaml
from tdbench.networks import NETWORKS
from tdbench.parameters import Parameters

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
RESERVED = ("datasets", "mlflow", "published")
VARIABLE = ("objective", "formulation", "training", "sampling", "evaluation")


def _one_of(known: Any, what: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value not in list(known):
            raise ValueError(f"no such {what}; known: {', '.join(known)}")
        return value

    return BeforeValidator(check)


def _name(value: Any) -> Any:
    if not (isinstance(value, str) and NAME.fullmatch(value) and len(value) <= 120):
        raise ValueError("names are letters, digits, '.', '_' and '-', at most 120, and become folder names")
    return value


def _kind_from_name(block: Any) -> Any:
    """``{edm: {}}`` means ``{edm: {kind: edm}}``."""
    if not isinstance(block, dict):
        return block
    filled = {name: {} if value is None else value for name, value in block.items()}
    return {n: {"kind": n, **v} if isinstance(v, dict) else v for n, v in filled.items()}


Name = Annotated[str, BeforeValidator(_name)]
Positive = Annotated[float, Field(gt=0)]


class Dataset(Parameters):
    """Where a data set's images come from."""

    source: Annotated[str, _one_of(SOURCES, "data source")]
    path: Annotated[Path | None, Field(description="for sources that read a user's files")] = None

    @model_validator(mode="after")
    def _path_where_needed(self) -> Self:
        if (self.source == "archive") != (self.path is not None):
            wanted = "needs a path to a zip in EDM's format" if self.source == "archive" else "takes no path"
            raise ValueError(f"source {self.source}: {wanted}")
        return self


class Baseline(Parameters):
    """The formulation's own objective."""

    kind: Literal["baseline"] = "baseline"


class TD(TDSettings):
    """The temporal-difference objective on top of the formulation's own."""

    kind: Literal["td"] = "td"


Objective = Annotated[Baseline | TD, Field(discriminator="kind")]


class Training(Parameters):
    """How a network is trained. One kimg is 1,000 images shown."""

    duration_kimg: Positive
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Positive
    rampup_kimg: Annotated[float, Field(ge=0, description="linear ramp-up of the learning rate")] = 0.0
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    ema_half_life_kimg: Positive
    ema_rampup_ratio: Annotated[
        float | None, Field(gt=0, description="the half-life is at most this share of the images shown")
    ] = 0.05
    snapshot_kimg: Annotated[float, Field(gt=0, description="interval between snapshots")]
    metrics_every_steps: Annotated[int, Field(ge=1)] = 20
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, description="CPU threads; part of the result, to the bit")] = 1

    @property
    def steps(self) -> int:
        return math.ceil(round(self.duration_kimg * 1000 / self.batch_size, 6))

    def snapshot_steps(self) -> list[int]:
        """Steps after which a snapshot is taken: the first at or past each multiple of the interval, and the last."""
        count = math.floor(round(self.duration_kimg / self.snapshot_kimg, 6))
        reached = {math.ceil(round(k * self.snapshot_kimg * 1000 / self.batch_size, 6)) for k in range(1, count + 1)}
        return sorted(reached | {self.steps})

    def images_at(self, step: int) -> int:
        return step * self.batch_size

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.snapshot_kimg > self.duration_kimg:
            raise ValueError(f"snapshot_kimg {self.snapshot_kimg:g} exceeds duration_kimg {self.duration_kimg:g}")
        if self.steps < 1:
            raise ValueError(f"duration_kimg {self.duration_kimg:g} is less than one image")
        return self


class Sampling(Parameters):
    """How snapshots are sampled."""

    sampler: Annotated[str, _one_of(SAMPLERS, "sampler")] = "heun"
    steps: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="step budgets")]
    images: Annotated[int, Field(ge=2, description="images per snapshot and budget")]
    batch_size: Annotated[int, Field(ge=1)] = 256

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps must rise and not repeat, got {list(self.steps)}")
        return self


class Evaluation(Parameters):
    """How samples are scored."""

    features: Annotated[str, _one_of(FEATURES, "feature extractor")] = "classifier"
    libraries: Annotated[tuple[Annotated[str, _one_of(LIBRARIES, "library")], ...], Field(min_length=1)] = LIBRARIES
    last_percent: Annotated[
        float, Field(gt=0, le=100, description="snapshots of the last share of training are scored and averaged")
    ] = 15.0
    kid_subsets: Annotated[int, Field(ge=1)] = 100
    kid_subset_size: Annotated[int, Field(ge=2)] = 1000
    batch_size: Annotated[int, Field(ge=1)] = 256


class Ablation(Parameters):
    """Variations around one objective: the product of the listed values, with all else as in the base."""

    base: Name
    vary: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]
    description: str = ""


class Experiment(Parameters):
    """What an experiment file holds."""

    name: Name
    description: str = ""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    formulations: Annotated[dict[Name, AnyFormulation], BeforeValidator(_kind_from_name), Field(min_length=1)]
    objectives: Annotated[dict[Name, Objective], BeforeValidator(_kind_from_name), Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1)]
    network: Annotated[str, _one_of(NETWORKS, "network")]
    training: Training
    sampling: Sampling
    evaluation: Evaluation = Evaluation()
    ablations: dict[Name, Ablation] = Field(default_factory=dict)

    @property
    def pairs(self) -> list[str]:
        """Names of all combinations of data set and formulation."""
        return [pair_name(dataset, formulation) for dataset in self.datasets for formulation in self.formulations]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"name: {self.name!r}: is a folder of the results themselves; choose another name")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {list(self.seeds)}: a seed is listed twice")
        if self.evaluation.kid_subset_size > self.sampling.images:
            raise ValueError(
                f"evaluation.kid_subset_size: {self.evaluation.kid_subset_size}: exceeds "
                f"sampling.images, which is {self.sampling.images}"
            )
        baselines = [name for name, objective in self.objectives.items() if objective.kind == "baseline"]
        if len(baselines) != 1:
            raise ValueError(
                f"objectives: {list(self.objectives)}: exactly one must be of kind baseline, to compare with"
            )
        if len(self.objectives) < 2:
            raise ValueError(
                f"objectives: {list(self.objectives)}: name one of kind td too, to compare with the baseline"
            )
        for name, ablation in self.ablations.items():
            if ablation.base not in self.objectives:
                raise ValueError(
                    f"ablations.{name}.base: {ablation.base!r}: no such objective; known: {', '.join(self.objectives)}"
                )
        return self


def pair_name(dataset: str, formulation: str) -> str:
    """What figures of one data set and formulation are called."""
    return f"{dataset}-{formulation}"


class Run(Parameters):
    """One training with its samples and scores: a cell of the matrix, fully explicit."""

    experiment: Name
    dataset_name: Name
    dataset: Dataset
    formulation_name: Name
    formulation: AnyFormulation
    objective_name: Name
    objective: Objective
    network: str
    training: Training
    sampling: Sampling
    evaluation: Evaluation
    seed: int

    @model_validator(mode="after")
    def _inside_grid(self) -> Self:
        if isinstance(self.objective, TD):
            reach, last = self.objective.span + self.objective.stride, self.formulation.grid.num_steps - 1
            if reach > last:
                raise ValueError(
                    f"span + stride (k + Delta) {reach:g}: reaches beyond the grid of {self.formulation_name}; "
                    f"must be at most num_steps - 1 = {last}"
                )
        return self

    @model_validator(mode="after")
    def _enough_images(self) -> Self:
        if self.evaluation.kid_subset_size > self.sampling.images:
            raise ValueError(
                f"evaluation.kid_subset_size: {self.evaluation.kid_subset_size}: exceeds "
                f"sampling.images, which is {self.sampling.images}"
            )
        return self

    @property
    def name(self) -> str:
        return f"{self.dataset_name}/{self.formulation_name}-{self.objective_name}-seed{self.seed}"

    def training_settings(self) -> dict[str, Any]:
        """All that the trained weights depend on, and nothing else."""
        keys = {"dataset", "formulation", "objective", "network", "training", "seed"}
        settings = self.model_dump(mode="json", by_alias=True, include=keys)
        del settings["training"]["metrics_every_steps"]
        if self.objective.kind == "baseline":
            # Its grid only serves the pairs of the TD objective and the samplers.
            del settings["formulation"]["grid"]
        return settings

    def sampling_settings(self) -> dict[str, Any]:
        """What the samples depend on besides the weights."""
        grid = self.formulation.grid.model_dump(mode="json")
        settings = self.model_dump(mode="json", include={"sampling", "seed"})
        return settings | {"grid": grid, "snapshots": self.scored_snapshots()}

    def evaluation_settings(self) -> dict[str, Any]:
        """What the scores depend on besides the samples."""
        return self.model_dump(mode="json", include={"evaluation"})["evaluation"]

    def scored_snapshots(self) -> list[int]:
        """Images shown at each snapshot of the last `last_percent` of training, rising."""
        training = self.training
        threshold = training.images_at(training.steps) * (1 - self.evaluation.last_percent / 100)
        shown = [training.images_at(step) for step in training.snapshot_steps()]
        return [images for images in shown if images > threshold]


class Case(Parameters):
    """One row of an ablation: what was varied, and the objective name of its runs."""

    settings: dict[str, Any]
    label: str
    dataset_name: str
    formulation_name: str
    objective_name: str


class Plan(Parameters):
    """An experiment expanded."""

    experiment: Experiment
    path: Path
    comparison: tuple[Run, ...]
    ablations: dict[str, tuple[Case, ...]]
    ablation_runs: dict[str, tuple[Run, ...]]

    @property
    def runs(self) -> dict[str, Run]:
        """Every run once, by name; runs of the comparison come first."""
        return {run.name: run for run in itertools.chain(self.comparison, *self.ablation_runs.values())}

    def run(self, name: str) -> Run:
        """The run ``name``; the data set's name may be left out where there is only one."""
        datasets = list(self.experiment.datasets)
        full = name if "/" in name or len(datasets) > 1 else f"{datasets[0]}/{name}"
        if full not in self.runs:
            raise TdbenchError(f"{self.path}: no run {name!r}; known: {', '.join(self.runs)}")
        return self.runs[full]


def find_experiment(name: str) -> Path:
    """The file of an experiment given by name or by path."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    folders = [Path("workflow/experiments"), Path(__file__).parents[1] / "workflow" / "experiments"]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise TdbenchError(
        f"experiment {name!r}: no such experiment; known: {', '.join(known)}, or give a path to a YAML file"
    )


def load_plan(name: str) -> Plan:
    """Read, check and expand an experiment given by name or by path.

    Raises
    ------
    TdbenchError
        Names the file, the key, the value and what is allowed, a line for each mistake.
    """
    path = find_experiment(name)
    content = read_yaml(path)
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise TdbenchError(explain(path, content, error)) from error
    return expand(experiment, path)


def expand(experiment: Experiment, path: Path) -> Plan:
    """All runs of an experiment and the cases of its ablations."""
    comparison = tuple(_matrix(experiment, path))
    known = {run.name: run for run in comparison}
    pairs = experiment.pairs
    if len(known) < len(comparison) or len(set(pairs)) < len(pairs):
        names = [run.name for run in comparison] + pairs
        twice = next(name for name in names if names.count(name) > 1)
        raise TdbenchError(
            f"{path}: two combinations of datasets, formulations and objectives are called {twice!r}; rename one"
        )
    cases, runs = {}, {}
    for name, ablation in experiment.ablations.items():
        cases[name], runs[name] = _expand_ablation(experiment, path, name, ablation, known)
    return Plan(experiment=experiment, path=path, comparison=comparison, ablations=cases, ablation_runs=runs)


def _matrix(experiment: Experiment, path: Path) -> Iterator[Run]:
    axes = (experiment.datasets, experiment.formulations, experiment.objectives, experiment.seeds)
    for dataset, formulation, objective, seed in itertools.product(*axes):
        yield _build_run(experiment, path, dataset, formulation, objective, seed)


def _build_run(experiment: Experiment, path: Path, dataset: str, formulation: str, objective: str, seed: int) -> Run:
    try:
        return Run(
            experiment=experiment.name,
            dataset_name=dataset,
            dataset=experiment.datasets[dataset],
            formulation_name=formulation,
            formulation=experiment.formulations[formulation],
            objective_name=objective,
            objective=experiment.objectives[objective],
            network=experiment.network,
            training=experiment.training,
            sampling=experiment.sampling,
            evaluation=experiment.evaluation,
            seed=seed,
        )
    except ValidationError as error:
        text = plain(error.errors()[0])
        key = "" if text.startswith("evaluation.") else f"objectives.{objective}: "
        raise TdbenchError(f"{path}: {key}{text}") from error


def _expand_ablation(
    experiment: Experiment, path: Path, name: str, ablation: Ablation, known: dict[str, Run]
) -> tuple[tuple[Case, ...], tuple[Run, ...]]:
    """Cases and runs of one ablation; a case equal to a run that exists already uses that run."""
    cases, runs = [], []
    axes = (experiment.datasets, experiment.formulations, itertools.product(*ablation.vary.values()))
    for dataset, formulation, values in itertools.product(*axes):
        settings = dict(zip(ablation.vary, values, strict=True))
        label = ", ".join(f"{key.rsplit('.', 1)[-1]} = {value}" for key, value in settings.items())
        variants = []
        for seed in experiment.seeds:
            base = _build_run(experiment, path, dataset, formulation, ablation.base, seed)
            variants.append(_known_or_new(_vary(base, settings, f"{path}: ablations.{name}.vary"), known, path, name))
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


def _known_or_new(run: Run, known: dict[str, Run], path: Path, ablation: str) -> Run:
    for other in known.values():
        if other.seed == run.seed and other.dataset_name == run.dataset_name and _same(other, run):
            return other
    if run.name in known:
        raise TdbenchError(f"{path}: ablations.{ablation}: two different runs would be named {run.name!r}; rename one")
    known[run.name] = run
    return run


def _same(a: Run, b: Run) -> bool:
    names = {"objective_name"}
    return a.model_dump(exclude=names) == b.model_dump(exclude=names)


def _vary(base: Run, settings: dict[str, Any], where: str) -> Run:
    """``base`` with dotted settings replaced, such as ``objective.lambda``."""
    content = base.model_dump(by_alias=True)
    for key, value in settings.items():
        *parents, leaf = key.split(".")
        block: Any = content
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        if not parents or parents[0] not in VARIABLE or not isinstance(block, dict) or leaf not in block:
            allowed = ", ".join(VARIABLE)
            raise TdbenchError(
                f"{where}: {key}: no such setting; give a dotted key below {allowed}, such as objective.weight"
            )
        block[leaf] = value
    suffix = "-".join(f"{key.rsplit('.', 1)[-1]}-{value}" for key, value in settings.items())
    content["objective_name"] = f"{base.objective_name}-{re.sub(r'[^A-Za-z0-9.]+', '-', suffix).strip('-')}"
    try:
        return Run.model_validate(content)
    except ValidationError as error:
        raise TdbenchError(explain(where, content, error)) from error
