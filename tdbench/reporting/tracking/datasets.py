"""MLflow's data sets: name and checksum, without reading any image."""

import json
from pathlib import Path

import numpy as np
from mlflow.data.schema import TensorDatasetSchema
from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.types.schema import Schema, TensorSpec

from tdbench.data.summary import DataSummary
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout
from tdbench.records.schema import Scored, Settings

DIGEST_LENGTH = 16
"""Characters of the checksum. MLflow allows 36 but shows them all; the profile has the full checksum."""


def training_data(run: Run, data: DataSummary, files: DatasetLayout) -> Dataset:
    """The archive on which a run was trained."""
    shape = (data.channels, data.resolution, data.resolution)
    images = Schema([TensorSpec(np.dtype(np.uint8), (-1, *shape), "images")])
    labels = [Schema([TensorSpec(np.dtype(np.int64), (-1,), "labels")])] if data.classes else []
    profile = {"num_rows": data.images, "num_elements": data.images * int(np.prod(shape)), **data.to_json()}
    schema = TensorDatasetSchema(images, *labels).to_dict()
    return _dataset(run.dataset_name, data.sha256, files.archive, profile, schema)


def reference_data(run: Run, stored: Scored, files: DatasetLayout) -> dict[str, Dataset]:
    """Library -> the reference features for its scores."""
    found, checksums = {}, stored.references
    for row in stored.scores:
        library, features = row.library, row.features
        profile = {
            "num_rows": row.reference_n,
            "features": features,
            "resize": row.resize,
            "data_sha256": row.reference_data,
            "sha256": checksums[library],
        }
        name = f"{run.dataset_name}, {features} features for {library}"
        found[library] = _dataset(name, checksums[library], files.reference(features, library), profile, None)
    return found


def as_inputs(training: Dataset | None, compared: dict[str, Dataset]) -> list[DatasetInput]:
    """The argument of `MlflowClient.log_inputs`: data sets tagged as "training" or "reference"."""
    named = [] if training is None else [("training", training)]
    named += [("reference", reference) for reference in compared.values()]
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", context)]) for context, dataset in named]


def _dataset(name: str, checksum: str, path: Path, profile: Settings, schema: Settings | None) -> Dataset:
    return Dataset(
        name=name,
        digest=checksum[:DIGEST_LENGTH],
        # The format of MLflow's own source for local files.
        source_type="local",
        source=json.dumps({"uri": str(path.resolve())}),
        schema=None if schema is None else json.dumps(schema),
        profile=json.dumps(profile),
    )
