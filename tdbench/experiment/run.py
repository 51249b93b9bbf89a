"""Runs, cases of an ablation, and the plan of an experiment: the input of all stages and reports."""

import difflib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tdbench.diffusion.objectives.base import Objective
from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.extractors import LIBRARIES
from tdbench.experiment.metrics import impossible, left_out
from tdbench.experiment.schema import AnyFormulation, AnyObjective, Dataset, Experiment, Name, Sampling
from tdbench.experiment.training import Training
from tdbench.networks import NetworkSettings
from tdbench.runtime import advice
from tdbench.settings import Parameters


class NoSuchSetting(ValueError):
    """A setting of an objective that the formulation does not have."""


class Run(Parameters):
    """One cell of the matrix with all its settings: a training, its samples and its scores."""

    experiment: Name
    dataset_name: Name
    dataset: Dataset
    formulation_name: Name
    formulation: AnyFormulation
    objective_name: Name
    objective: AnyObjective
    network: NetworkSettings
    training: Training
    sampling: Sampling
    evaluation: Evaluation
    seed: int
    trained_as: str | None = None
    """Name of the run that trains the same weights, if there is one; its weights are sampled."""
    file: Annotated[Path, Field(exclude=True, repr=False)] = Path()
    """The experiment file as the user gave it; not part of any record."""

    @field_validator("objective")
    @classmethod
    def _every_setting_explicit(cls, objective: Objective, info: ValidationInfo) -> Objective:
        """Fill in the settings that the experiment omits, after all overrides."""
        formulation = info.data.get("formulation")
        if formulation is None:
            return objective
        try:
            return objective.resolved(formulation)
        except ValueError as error:
            raise NoSuchSetting(str(error)) from error

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.evaluation.kid_subset_size > self.sampling.images:
            raise ValueError(
                f"evaluation.kid_subset_size: {self.evaluation.kid_subset_size}: exceeds "
                f"sampling.images, which is {self.sampling.images}"
            )
        if (wrong := impossible(self.evaluation.metrics, self.sampling.images)) is not None:
            raise ValueError(
                f"sampling.images: {self.sampling.images}: {wrong}; give more images, "
                "or list evaluation.metrics without this one"
            )
        sampler, last = self.sampling.sampler, self.formulation.grid.last
        if self.formulation.whole_indices and sampler.between_steps:
            raise ValueError(
                f"sampling.sampler: {sampler.kind!r}: needs times between steps, but formulation "
                f"{self.formulation.kind} is discrete"
            )
        if self.formulation.whole_indices and self.sampling.steps[-1] > last:
            raise ValueError(f"sampling.steps: {self.sampling.steps[-1]}: {self.formulation.kind} has {last} steps")
        return self

    def check_data(self, images: int) -> None:
        """Reject metrics that need more images than the data set has, before any training.

        Raises
        ------
        TdbenchError
            With the key, the value and the number of images.
        """
        settings = self.evaluation
        wrong = impossible(settings.metrics, self.sampling.images, images)
        if wrong is not None:
            raise TdbenchError(
                f"data set {self.dataset_name}: {images} images: evaluation.metrics: {wrong}; "
                "add images, or list evaluation.metrics without this one"
            )
        if "kid" in settings.metrics and images < settings.kid_subset_size:
            raise TdbenchError(
                f"evaluation.kid_subset_size: {settings.kid_subset_size}: exceeds the {images} images of data set "
                f"{self.dataset_name}"
            )

    @property
    def name(self) -> str:
        return f"{self.dataset_name}/{self.formulation_name}-{self.objective_name}-seed{self.seed}"

    @property
    def weights_name(self) -> str:
        """Name of the run that trains the weights."""
        return self.trained_as or self.name

    @property
    def published_distance(self) -> bool:
        """Whether the training needs the published weights of the distance."""
        return self.formulation.distance_weights_needed and self.training.distance_weights is None

    def training_settings(self) -> dict[str, Any]:
        """Return exactly the settings that the trained weights depend on."""
        keys = {"dataset", "formulation", "objective", "network", "training", "seed"}
        settings = self.model_dump(mode="json", by_alias=True, include=keys)
        for key in ("metrics_every_steps", "checkpoint_minutes", "processes"):
            del settings["training"][key]
        # Only the file name, so that a folder can be moved; run.json and checkpoints have the checksum.
        path = settings["training"].pop("distance_weights")
        if path is not None and self.formulation.distance_weights_needed:
            settings["training"]["distance_weights"] = Path(path).name
        # All settings are explicit, so the preset that they came from does not matter.
        settings["objective"].pop("preset", None)
        if self.objective.kind == "baseline":
            settings["formulation"] = self.formulation.baseline_settings()
        return settings

    def sampling_settings(self) -> dict[str, Any]:
        """Return the settings that the samples depend on, besides the weights."""
        settings = self.model_dump(mode="json", by_alias=True, include={"sampling", "formulation", "seed"})
        return settings | {"snapshots": self.scored_snapshots()}

    def evaluation_settings(self) -> dict[str, Any]:
        """Return the settings that the scores depend on, besides the samples.

        Files of weights are reduced to their names, so that a folder can be moved; the reference features have their
        checksums.
        """
        settings = self.evaluation.model_dump(mode="json")
        if weights := settings.pop("weights"):
            settings["weights"] = {library: Path(path).name for library, path in weights.items()}
        return settings

    def scored_snapshots(self) -> list[int]:
        """Return the images shown at each snapshot in the last `last_percent` of training, in rising order."""
        training = self.training
        threshold = training.images_at(training.steps) * (1 - self.evaluation.last_percent / 100)
        shown = [training.images_at(step) for step in training.snapshot_steps()]
        return [images for images in shown if images > threshold]


class Case(Parameters):
    """One row of an ablation: the varied settings and the objective name of its runs."""

    settings: dict[str, Any]
    label: str
    dataset_name: str
    formulation_name: str
    objective_name: str


class Plan(Parameters):
    """An expanded experiment."""

    experiment: Experiment
    path: Path
    comparison: tuple[Run, ...]
    ablations: dict[str, tuple[Case, ...]]
    ablation_runs: dict[str, tuple[Run, ...]]

    @property
    def runs(self) -> dict[str, Run]:
        """All runs by name, those of the comparison first."""
        return {run.name: run for run in itertools.chain(self.comparison, *self.ablation_runs.values())}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All pairs of data set and formulation."""
        return list(itertools.product(self.experiment.datasets, self.experiment.formulations))

    def source_path(self, dataset: str) -> Path | None:
        """Return the path of a data set's source, relative to the working folder."""
        return self.experiment.datasets[dataset].found_path(self.path)

    def score_remarks(self) -> Iterator[str]:
        """Yield a line for each metric that some runs skip, with the reason."""
        few: dict[str, str] = {}
        for run in self.runs.values():
            for name, reason in left_out(run.evaluation.metrics, run.sampling.images).items():
                few.setdefault(name, f"{reason}; sampling.images is {run.sampling.images}")
        for name, reason in few.items():
            yield f"{self.path}: evaluation.metrics: {name} is left out: it {reason}"

    def source_remarks(self, names: Iterable[str]) -> Iterator[str]:
        """Yield a line for each data set that is missing, or was found in the working folder only."""
        for name in names:
            dataset = self.experiment.datasets[name]
            found, where = self.source_path(name), f"{self.path}: datasets.{name}.path: {str(dataset.path)!r}"
            if found is None or dataset.path is None:
                continue
            beside = self.path.parent / dataset.path
            if not found.exists():
                also = "" if beside.absolute() == dataset.path.absolute() else f" and for {dataset.path.absolute()}"
                yield f"{where}: no such file or folder; looked for {beside.absolute()}{also}"
            elif found != beside:
                written = os.path.relpath(found.absolute(), self.path.parent.absolute())
                remark = "found in the working folder, not beside the experiment file; relative to that file it is"
                yield f"{where}: {remark} {written}"

    def libraries(self, dataset: str) -> list[str]:
        """Return the libraries that score the runs of a data set."""
        used = {name for run in self.runs.values() if run.dataset_name == dataset for name in run.evaluation.libraries}
        return [name for name in LIBRARIES if name in used]

    def run(self, name: str) -> Run:
        """Return the run ``name``; the name of the data set may be omitted if there is only one."""
        datasets = list(self.experiment.datasets)
        full = name if "/" in name or len(datasets) > 1 else f"{datasets[0]}/{name}"
        if full not in self.runs:
            near = ", ".join(difflib.get_close_matches(full, self.runs, n=5, cutoff=0))
            raise TdbenchError(
                f"{self.path}: no run {name!r}; `{advice.command('plan', self.path)}` lists all {len(self.runs)}; "
                f"nearest: {near}"
            )
        return self.runs[full]


def runs_of(plan: Plan, part: str) -> list[Run]:
    """Return the runs for a part of the report: ``comparison``, ``ablations`` (with the baselines) or ``all``."""
    if part == "comparison":
        return list(plan.comparison)
    if part == "ablations":
        baselines = [run for run in plan.comparison if run.objective.kind == "baseline"]
        varied = [run for runs in plan.ablation_runs.values() for run in runs]
        return list({run.name: run for run in [*baselines, *varied]}.values())
    return list(plan.runs.values())
