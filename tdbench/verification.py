"""Checking the TD objective against reference vectors: numbers that other code gave for fixed inputs.

A file is an npz in which case i has the keys ``i/x0``, ``i/draw0`` (the normal z of ln sigma_t), ``i/draw1``,
``i/draw2`` (the noises), ``i/loss`` (the batch mean) and ``i/kwargs`` (the repr of a dict of settings), in
float64, for the denoisers D(x, sigma) = a x / (1 + sigma^2) + b with (a, b) = (0.9, 0.05) for the network and
(0.8, -0.02) for the target.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from tdbench.diffusion.objectives.base import Losses, Noise
from tdbench.diffusion.objectives.edm import EDM
from tdbench.diffusion.td import DenoiserCall, TDSettings, td_losses
from tdbench.errors import TdbenchError

TOLERANCE = 1e-10
# The released code's names of the settings, and what they are without being given.
_KNOWN = {
    "td_coupling": "markov", "weight_td": True, "k_idx": 1.0, "one_idx": 0.25, "lambda_edm": 0.5, "steps": 18,
    "sigma_data": 0.5, "sigma_min": 0.002, "sigma_max": 80.0, "rho": 7.0, "P_mean": -1.2, "P_std": 1.2,
}  # fmt: skip


class VerifiedCase(NamedTuple):
    """One case of a file."""

    name: str
    settings: dict[str, Any]
    expected: float
    got: float
    valid: str
    """How many of the images have a valid pair; the others' loss is (1 + lambda) times the base loss."""

    @property
    def relative_error(self) -> float:
        return abs(self.got - self.expected) / max(abs(self.expected), 1e-300)

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.relative_error <= TOLERANCE

    def line(self) -> str:
        settings = " ".join(f"{k}={v}" for k, v in self.settings.items())
        verdict = "ok  " if self.passed else "MISS"
        numbers = f"expected {self.expected:.15g}, got {self.got:.15g}, relative error {self.relative_error:.1e}"
        return f"{verdict} {self.name}: {settings} (valid pairs {self.valid}): {numbers}"


def verify_file(path: Path) -> Iterator[VerifiedCase]:
    """Evaluate every case of a file, in order.

    Raises
    ------
    TdbenchError
        If the file is not of that form.
    """
    content = _read(path)
    cases = sorted({key.split("/")[0] for key in content if "/" in key}, key=lambda c: (len(c), c))
    if not cases:
        raise TdbenchError(f"{path}: holds no cases; expected keys such as 0/x0, 0/loss and 0/kwargs")
    for case in cases:
        settings = _settings(path, case, content)
        losses = _losses(path, case, content, settings)
        expected = float(content[f"{case}/loss"])
        valid = f"{int(losses.valid.sum())} of {len(losses.valid)}"
        yield VerifiedCase(f"{path.name} case {case}", settings, expected, float(losses.total.mean()), valid)


def _losses(path: Path, case: str, content: dict[str, np.ndarray], given: dict[str, Any]) -> Losses:
    s = _KNOWN | given
    try:
        formulation = EDM(
            sigma_data=s["sigma_data"], p_mean=s["P_mean"], p_std=s["P_std"],
            grid={"num_steps": s["steps"], "sigma_min": s["sigma_min"], "sigma_max": s["sigma_max"], "rho": s["rho"]},
        )  # fmt: skip
        settings = TDSettings(
            weight="source" if s["weight_td"] else "constant", lambda_=s["lambda_edm"], span=s["k_idx"],
            stride=s["one_idx"], coupling=s["td_coupling"],
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise TdbenchError(f"{path}: {case}/kwargs: {first['loc']}: {first['input']!r}: {first['msg']}") from error
    shape = _get(path, content, case, "x0").shape
    wanted = {"x0": shape, "draw0": (shape[0], 1, 1, 1), "draw1": shape, "draw2": shape, "loss": ()}
    if s["td_coupling"] == "shared":
        del wanted["draw2"]
    for key, expected in wanted.items():
        found = _get(path, content, case, key)
        if found.shape != expected or found.dtype != np.float64 or len(shape) != 4:
            raise TdbenchError(
                f"{path}: {case}/{key}: {found.dtype} {found.shape}; expected float64 {expected}, x0 (N, C, H, W)"
            )
    x0, time, image = (torch.from_numpy(_get(path, content, case, k)) for k in ("x0", "draw0", "draw1"))
    pair = (
        torch.from_numpy(_get(path, content, case, "draw2")) if s["td_coupling"] == "markov" else torch.zeros_like(x0)
    )
    noise = Noise(time, image, pair)
    network, target = _denoiser(0.9, 0.05), _denoiser(0.8, -0.02)
    return td_losses(network, target, formulation, settings, x0, None, noise, rotate=False)


def _denoiser(a: float, b: float) -> DenoiserCall:
    def denoise(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        return a * x / (1 + sigma**2) + b

    return denoise


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such file") from error
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(f"{path}: not an npz of plain arrays ({error})") from error


def _get(path: Path, content: dict[str, np.ndarray], case: str, key: str) -> np.ndarray:
    if f"{case}/{key}" not in content:
        raise TdbenchError(f"{path}: {case}/{key}: is missing")
    return content[f"{case}/{key}"]


def _settings(path: Path, case: str, content: dict[str, np.ndarray]) -> dict[str, Any]:
    text = str(_get(path, content, case, "kwargs"))
    try:
        settings = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise TdbenchError(f"{path}: {case}/kwargs: {text!r:.60}: not the repr of a dict") from error
    unknown = set(settings) - set(_KNOWN) if isinstance(settings, dict) else {text}
    if unknown:
        raise TdbenchError(f"{path}: {case}/kwargs: unknown settings {sorted(unknown)}; known: {', '.join(_KNOWN)}")
    return dict(settings)
