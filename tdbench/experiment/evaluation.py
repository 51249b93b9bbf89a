"""The block `evaluation` of the experiment file."""

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
from tdbench.experiment.metrics import METRICS
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
