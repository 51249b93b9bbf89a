"""A run with all its settings: the input of all stages."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.objectives.targets import Target
from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import Evaluation
from tdbench.experiment.metrics import impossible
from tdbench.experiment.schema import AnyFormulation, AnyObjective, Dataset, Name, Sampling
from tdbench.experiment.training import Training
from tdbench.networks import NetworkSettings
from tdbench.settings import Parameters

FLOORED = "fid"
"""The metric that has a floor above its ideal value, which depends on the number of samples."""
FOR_OTHERS = ("continued_to", "further_snapshots", "curve_snapshots", "temporary_snapshots", "mechanism_td")
"""Fields of a run that are derived from the other runs of its experiment."""
MOST_CURVE_IMAGES = 500
"""Samples of each snapshot of a curve, unless the experiment says otherwise."""


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
    continued_to: int = 0
    """Images until which its training continues, for runs that sample later snapshots of it; 0 if there are none."""
    further_snapshots: tuple[int, ...] = ()
    """Images shown at the snapshots that its training keeps besides the regular ones."""
    curve_snapshots: tuple[int, ...] = ()
    """Images shown at the snapshots that are scored for curves (`Evaluation.curve`)."""
    temporary_snapshots: tuple[int, ...] = ()
    """Those of `further_snapshots` that only curves need, if they are deleted once the report is written."""
    mechanism_td: AnyObjective | None = None
    """The temporal difference whose mechanism is measured with its weights (`experiment.mechanism`)."""
    file: Annotated[Path, Field(exclude=True, repr=False)] = Path()
    """The experiment file as the user gave it; not part of any record."""

    @field_validator("objective", "mechanism_td")
    @classmethod
    def _every_setting_explicit(cls, objective: Objective | None, info: ValidationInfo) -> Objective | None:
        """Fill in the settings that the experiment omits, after all overrides."""
        formulation = info.data.get("formulation")
        if formulation is None or objective is None:
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
        self._check_curve()
        return self

    def _check_curve(self) -> None:
        curve, last = self.evaluation.curve, self.formulation.grid.last
        if curve is None:
            return
        if self.formulation.whole_indices and self.curve_steps[-1] > last:
            raise ValueError(
                f"evaluation.curve.steps: {self.curve_steps[-1]}: {self.formulation.kind} has {last} steps"
            )
        metric = self.evaluation.curve_metric
        if metric is not None and (wrong := impossible([metric], self.curve_images)) is not None:
            raise ValueError(f"evaluation.curve.images: {self.curve_images}: {wrong}; give more images")

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

    def alone(self) -> Self:
        """Return the run without what its training does for other runs, and without its curve."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in FOR_OTHERS})

    @property
    def last_images(self) -> int:
        """Images shown at its last snapshot."""
        return self.training.images_at(self.training.steps)

    @property
    def last_share(self) -> float:
        """Share of training at its last step, where schedules are at their end."""
        return (self.training.steps - 1) / self.training.steps

    @property
    def total_steps(self) -> int:
        """Steps of its training, those included that it continues for other runs."""
        return max(self.training.steps, -(-self.continued_to // self.training.batch_size))

    @property
    def trained_images(self) -> int:
        """Images shown in `total_steps`."""
        return self.training.images_at(self.total_steps)

    def snapshot_steps(self) -> list[int]:
        """Return the steps at which its training keeps a snapshot."""
        further = {images // self.training.batch_size for images in self.further_snapshots}
        last = self.total_steps if self.continued_to else None
        return sorted(further.union(self.training.snapshot_steps(last)))

    @property
    def curve_steps(self) -> tuple[int, ...]:
        """The step budgets of its curve; empty without one."""
        curve, steps = self.evaluation.curve, self.sampling.steps
        if curve is None:
            return ()
        return curve.steps or (steps[(len(steps) - 1) // 2],)

    @property
    def curve_images(self) -> int:
        """Samples of each snapshot of its curve."""
        given = None if self.evaluation.curve is None else self.evaluation.curve.images
        return given or min(self.sampling.images, MOST_CURVE_IMAGES)

    @property
    def follower(self) -> Target | None:
        """How a target follows in its training without being evaluated, to measure how `mechanism_td` lags."""
        if self.mechanism_td is None or self.objective.target_rule(self.formulation) is not None:
            return None
        return self.mechanism_td.target_rule(self.formulation)

    @property
    def follower_settings(self) -> dict[str, Any] | None:
        """The settings of `follower`; no weight depends on them, so a training with others is not done again."""
        return None if self.follower is None else self.follower.model_dump(mode="json", by_alias=True)

    @property
    def length_dependence(self) -> str | None:
        """What of its training depends on the length, or None (`Formulation.length_dependence`)."""
        return self.formulation.length_dependence or self.objective.length_dependence

    def recipe(self) -> dict[str, Any]:
        """Return the settings that the weights of a snapshot depend on.

        The length of training is one of them only if a schedule depends on it.
        """
        settings = self.training_settings()
        for key in ("images", "snapshots"):
            del settings[key]
        if self.length_dependence is None:
            del settings["training"]["duration_kimg"]
        return settings

    def training_settings(self) -> dict[str, Any]:
        """Return exactly the settings that the result of the training depends on: its weights and its snapshots."""
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
        return settings | {"images": self.trained_images, "snapshots": list(self.further_snapshots)}

    def sampling_settings(self) -> dict[str, Any]:
        """Return the settings that the samples depend on, besides the weights."""
        settings = self.model_dump(mode="json", by_alias=True, include={"sampling", "formulation", "seed"})
        settings |= {"snapshots": self.scored_snapshots()}
        if self.curve_snapshots:
            steps, images = list(self.curve_steps), self.curve_images
            settings["curve"] = {"snapshots": list(self.curve_snapshots), "steps": steps, "images": images}
        if self.mechanism_td is not None:
            settings["mechanism"] = self.mechanism_settings()
        return settings

    def mechanism_settings(self) -> dict[str, Any]:
        """Return the settings that its mechanism depends on, besides the weights."""
        assert self.mechanism_td is not None
        settings = self.model_dump(mode="json", by_alias=True, include={"mechanism_td", "formulation", "seed"})
        measured = self.evaluation.mechanism
        return settings | {"measured": None if measured is None else measured.model_dump(mode="json")}

    def evaluation_settings(self) -> dict[str, Any]:
        """Return the settings that the scores depend on, besides the samples.

        Files of weights are reduced to their names, so that a folder can be moved; the reference features have their
        checksums.
        """
        settings = self.evaluation.model_dump(mode="json")
        del settings["equal_passes"], settings["curve"], settings["mechanism"]
        if self.curve_snapshots:
            settings["curve"] = self.evaluation.curve_metric
        if weights := settings.pop("weights"):
            settings["weights"] = {library: Path(path).name for library, path in weights.items()}
        return settings

    def scored_snapshots(self) -> list[int]:
        """Return the images shown at each snapshot in the last `last_percent` of training, in rising order."""
        training = self.training
        threshold = self.last_images * (1 - self.evaluation.last_percent / 100)
        shown = [training.images_at(step) for step in training.snapshot_steps()]
        return [images for images in shown if images > threshold]
