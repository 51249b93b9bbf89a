"""Logs weights as an MLflow model: an MLmodel file with a signature, safetensors and settings.

`mlflow.pyfunc.load_model` loads it with `loader.py`. No code and no pickle is stored, so tdbench must be installed
where the model is loaded.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, Schema, TensorSpec

from tdbench.data.summary import DataSummary
from tdbench.experiment.run import Run
from tdbench.records.layout import RunLayout
from tdbench.reporting.tracking.loader import SETTINGS, WEIGHTS

_NOTE = """The averaged weights at the end of a training: noisy images and their times give estimates of the clean
images. `mlflow.pyfunc.load_model("models:/...")` loads it where tdbench is installed: it holds weights
(safetensors) and settings (run.json), no code."""
_LOADER, _DATA = "tdbench.reporting.tracking.loader", "data"


def signature(data: DataSummary) -> ModelSignature:
    """Inputs: noisy images, times and, for data with classes, labels. Output: estimates of the clean images."""
    images = (-1, data.channels, data.resolution, data.resolution)
    inputs: list[ColSpec | TensorSpec] = [
        TensorSpec(np.dtype(np.float32), images, "images"),
        TensorSpec(np.dtype(np.float64), (-1,), "times"),
    ]
    if data.classes:
        inputs.append(TensorSpec(np.dtype(np.int64), (-1,), "labels"))
    return ModelSignature(Schema(inputs), Schema([TensorSpec(np.dtype(np.float32), images)]))


def log_model(
    client: MlflowClient,
    experiment_id: str,
    run_id: str,
    run: Run,
    data: DataSummary,
    layout: RunLayout,
    tags: dict[str, str],
) -> str:
    """Log the last snapshot's weights as the output of a run; returns MLflow's id of the model."""
    images = run.scored_snapshots()[-1]
    facts = {
        "formulation": run.formulation_name,
        "objective": run.objective_name,
        "network": run.network.kind,
        "dataset": run.dataset_name,
        "seed": str(run.seed),
        "kimg": f"{images / 1000:g}",
    }
    # MLflow does not allow these two characters in names of models.
    name = run.name.replace("/", "-").replace(".", "_")
    logged = client.create_logged_model(
        experiment_id, name, run_id, tags | {"mlflow.note.content": _NOTE}, facts, model_type="denoiser"
    )
    described = Model(run_id=run_id, signature=signature(data), metadata=facts, model_id=logged.model_id)
    pyfunc.add_to_model(described, _LOADER, data=_DATA)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, _DATA)
        folder.mkdir()
        folder.joinpath(WEIGHTS).symlink_to(layout.snapshot(images).resolve())
        folder.joinpath(SETTINGS).symlink_to(layout.settings.resolve())
        described.save(str(folder.parent / "MLmodel"))
        client.log_model_artifacts(logged.model_id, temporary)
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, run.training.steps)])
    return str(logged.model_id)
