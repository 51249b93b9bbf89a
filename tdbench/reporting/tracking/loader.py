"""The loader that `mlflow.pyfunc.load_model` calls for models logged by `tdbench track`."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import one_hot

from tdbench.diffusion.preconditioning import Condition, Denoiser
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.schema import Trained, read_record
from tdbench.records.weights import load_snapshot
from tdbench.training.state import build_denoiser

SETTINGS, WEIGHTS = "run.json", "weights.safetensors"


class LoadedDenoiser:
    """A denoiser with MLflow's interface for models."""

    def __init__(self, denoiser: Denoiser, classes: int) -> None:
        self.denoiser, self.classes = denoiser.eval(), classes

    def predict(self, model_input: dict[str, np.ndarray], params: object = None) -> np.ndarray:
        """Estimates of x0, (N, C, H, W) float32.

        Parameters
        ----------
        model_input : dict
            ``images`` (N, C, H, W) float32 noisy images in the range of the formulation, ``times`` (N,) float64 times
            of the formulation and, for a class-conditional network, ``labels`` (N,) int64 classes.
        """
        images = torch.from_numpy(np.ascontiguousarray(model_input["images"]))
        times = torch.from_numpy(np.ascontiguousarray(model_input["times"]))[:, None, None, None]
        labels = None
        if self.classes:
            classes = torch.from_numpy(np.ascontiguousarray(model_input["labels"]))
            if classes.min() < 0 or classes.max() >= self.classes:
                raise TdbenchError(f"labels: {classes.min()}..{classes.max()}; expected 0..{self.classes - 1}")
            labels = one_hot(classes, self.classes).float()
        with torch.inference_mode():
            found: np.ndarray = self.denoiser(images, times, Condition(labels)).numpy()
        return found


def _load_pyfunc(folder: str) -> LoadedDenoiser:
    """Build the network that run.json describes, with the weights beside it.

    Raises
    ------
    TdbenchError
        If a file is missing or damaged, or the settings are unknown to this version.
    """
    settings = Path(folder, SETTINGS)
    record = read_record(settings, "tdbench track", Trained)
    try:
        run = Run.model_validate(record.run)
    except Exception as error:  # validation and plug-ins raise many kinds
        raise TdbenchError(
            f"{settings}: this tdbench does not know the settings; install the version that wrote them, or import "
            "their plug-in before the model is loaded"
        ) from error
    denoiser = build_denoiser(run, record.data, seed=0)
    load_snapshot(Path(folder, WEIGHTS), denoiser)
    return LoadedDenoiser(denoiser, record.data.classes)
