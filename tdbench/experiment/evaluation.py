"""The block `evaluation` of the experiment file."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from tdbench.experiment.extractors import (
    DEFAULT_FEATURES,
    DEFAULT_LIBRARIES,
    EXTRACTORS,
    LIBRARIES,
    LIBRARY_SPECIFIC,
    PUBLISHERS,
    check_libraries,
)
from tdbench.experiment.metrics import METRICS, leading
from tdbench.settings import Parameters, one_of

FOLDER = "folder"
"""Key of the validation context: the folder of the experiment file, to which its paths are relative."""


def relative_to_experiment(path: Any, info: ValidationInfo) -> Any:
    """Resolve a path of the experiment file, which is relative to the folder of that file."""
    if not isinstance(path, (str, Path)) or not str(path):
        raise ValueError("should be the path of a file")
    folder = (info.context or {}).get(FOLDER)
    return path if folder is None else os.path.normpath(folder / path)


def _weights(value: Any, info: ValidationInfo) -> Any:
    """Resolve one path for all libraries, or a mapping of library to path, relative to the experiment file."""
    publishers = list(dict.fromkeys(PUBLISHERS.values()))
    if isinstance(value, (str, Path)):
        value = dict.fromkeys(publishers, value)
    if not isinstance(value, dict):
        raise ValueError(f"should be a path, or a mapping of {' and '.join(publishers)} to a path each")
    found = {}
    for name, path in value.items():
        if name not in publishers:
            raise ValueError(f"{name}: publishes no weights; known: {', '.join(publishers)}")
        try:
            found[name] = relative_to_experiment(path, info)
        except ValueError as error:
            raise ValueError(f"{name}: {path!r}: {error}") from error
    return found


class Curve(Parameters):
    """Snapshots in the course of training that are sampled and scored cheaply, for the runs of the comparison.

    Only the leading metric by the first library is computed.
    """

    points: Annotated[
        int, Field(ge=4, le=1000, description="snapshots between begin and end of training; more of them early")
    ] = 12
    images: Annotated[
        int | None, Field(ge=2, le=100_000_000, description="samples of each; null: sampling.images, at most 500")
    ] = None
    steps: Annotated[
        tuple[Annotated[int, Field(ge=1, le=10_000)], ...] | None,
        Field(min_length=1, description="step budgets; null: the middle one of sampling.steps"),
    ] = None
    keep_snapshots: Annotated[
        bool, Field(description="false: delete weights that only the curve needed once the report is written")
    ] = True

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if steps is not None and list(steps) != sorted(set(steps)):
            raise ValueError(f"must increase without repetition, got {list(steps)}")
        return steps

    def images_shown(self, last: int, until: int | None = None) -> list[int]:
        """Return the images shown at each point, ((i + 1) / (points + 1))^2 of ``last`` for i = 1..points.

        Parameters
        ----------
        last : int
            Images of the whole training.
        until : int or None
            Continue at the same density to so many images instead, without the points up to ``last``.
        """
        if until is None:
            return [math.ceil(last * ((i + 1) / (self.points + 1)) ** 2) for i in range(1, self.points + 1)]
        found, i = [], self.points + 1
        # A point just before the end would tell nothing that the end does not.
        while (shown := math.ceil(last * ((i + 1) / (self.points + 1)) ** 2)) < 0.97 * until:
            found.append(shown)
            i += 1
        return [*found, until]


class MechanismSettings(Parameters):
    """Measuring why the temporal difference can help, at the end of each training of the comparison.

    For formulations whose pairs are drawn as a Markov path (`diffusion.mechanism`).
    """

    times: Annotated[int, Field(ge=2, le=1000, description="times, spread evenly on the grid")] = 12
    images: Annotated[int, Field(ge=2, le=1_000_000, description="images of the data, at most")] = 1024
    batches: Annotated[
        int,
        Field(ge=0, le=100_000, description="batches for the noise of the gradient, for small networks; 0: none"),
    ] = 8

    @field_validator("batches")
    @classmethod
    def _some(cls, batches: int) -> int:
        if batches == 1:
            raise ValueError("one batch has no variance; give at least 2, or 0 to turn it off")
        return batches


def _mechanism(value: Any) -> Any:
    if value is not None and not isinstance(value, dict | MechanismSettings):
        raise ValueError("should be a mapping such as {times: 12, images: 1024, batches: 8}, or null to turn it off")
    return value


def _curve(value: Any) -> Any:
    if value is not None and not isinstance(value, dict | Curve):
        raise ValueError("should be a mapping such as {points: 12, images: 500, steps: [9]}, or null for no curve")
    return value


class Evaluation(Parameters):
    """How samples are scored."""

    features: Annotated[str, one_of(EXTRACTORS, "feature extractor")] = DEFAULT_FEATURES
    libraries: Annotated[tuple[Annotated[str, one_of(LIBRARIES, "library")], ...], Field(min_length=1)] = (
        DEFAULT_LIBRARIES
    )
    weights: Annotated[
        dict[str, Path],
        BeforeValidator(_weights),
        Field(description="your own files of Inception weights, by library, instead of the published ones"),
    ] = Field(default_factory=dict)
    last_percent: Annotated[
        float,
        Field(gt=0, le=100, description="score and average the snapshots of the last part of training, in percent"),
    ] = 15.0
    metrics: Annotated[tuple[Annotated[str, one_of(METRICS, "metric")], ...], Field(min_length=1)] = tuple(METRICS)
    bootstrap: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="bootstrap resamplings of the images, for the sampling variability of FID; 0: off",
        ),
    ] = 30
    curve: Annotated[
        Curve | None,
        BeforeValidator(_curve),
        Field(description="scores in the course of training; null: none, and nothing is said of its end"),
    ] = Curve()
    equal_passes: Annotated[
        bool,
        Field(description="also train the baseline as long as each objective costs, in passes through the networks"),
    ] = True
    mechanism: Annotated[
        MechanismSettings | None,
        BeforeValidator(_mechanism),
        Field(description="measure what the temporal difference does to the gradient's variance; null: off"),
    ] = MechanismSettings()
    kid_subsets: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    kid_subset_size: Annotated[int, Field(ge=2)] = 1000
    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 256

    @field_validator("bootstrap")
    @classmethod
    def _some(cls, resamplings: int) -> int:
        if resamplings == 1:
            raise ValueError("one resampling has no spread; give at least 2, or 0 to turn it off")
        return resamplings

    @property
    def curve_metric(self) -> str | None:
        """The metric of the curve: the leading one of those that every snapshot gets; None if there is none."""
        quick = [name for name in self.metrics if not METRICS[name].last_only]
        return leading(quick) if quick and self.curve is not None else None

    @property
    def publishers(self) -> list[str]:
        """Libraries whose published weights are needed, in the order of `libraries`."""
        if self.features not in LIBRARY_SPECIFIC:
            return []
        return [name for name in dict.fromkeys(PUBLISHERS[lib] for lib in self.libraries) if name not in self.weights]

    @model_validator(mode="after")
    def _fit_the_features(self) -> Self:
        check_libraries(self.libraries, self.features)
        if self.weights and self.features not in LIBRARY_SPECIFIC:
            raise ValueError(f"weights: only features {LIBRARY_SPECIFIC[0]} takes weights, not {self.features!r}")
        return self
