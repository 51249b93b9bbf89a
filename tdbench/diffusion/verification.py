"""Checking the TD objective against reference vectors: numbers that other code gave for fixed inputs.

A file is an npz in which case i has keys ``i/...``, in float64, and ``i/kwargs``, the repr of a dict of settings.

TD + EDM: ``x0``, ``draw0`` (the normal z of ln sigma_t), ``draw1``, ``draw2`` (the noises) and ``loss`` (the batch
mean), for the denoisers D(x, sigma) = a x / (1 + sigma^2) + b with (a, b) = (0.9, 0.05) for the network and
(0.8, -0.02) for the target.

TD + CT, recognised by its ``indices``: ``x0``, ``noise``, ``indices``, and image by image ``loss``, ``loss_ct`` and
``loss_td``, for the raw networks F(x, c) = a x + b tanh(c / 1000) with (a, b) = (0.7, 0.1) and (0.6, -0.05).
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from tdbench.diffusion.formulations.base import Losses, PairTimes
from tdbench.diffusion.formulations.ct import CT, Scales
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.grid import KarrasGrid
from tdbench.diffusion.objectives.schedules import constant
from tdbench.diffusion.objectives.td import TD, Pair, TDSettings, draw_pair, td_losses
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition, Denoiser, DenoiserCall
from tdbench.diffusion.processes import couple
from tdbench.errors import TdbenchError
from tdbench.runtime.arrays import read_arrays
from tdbench.settings import Parameters

TOLERANCE = 1e-10


class _Released(Parameters):
    """The released code's names of the settings, and what they are without being given."""

    weight_td: bool = True
    one_idx: float = 0.25
    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def shown(self) -> str:
        """Those that were given."""
        given = {key: getattr(self, key) for key in type(self).model_fields if key in self.model_fields_set}
        numbers = {key: f"{value:g}" for key, value in given.items() if isinstance(value, float)}
        return " ".join(f"{key}={value}" for key, value in (given | numbers).items())


class _ReleasedEDM(_Released):
    """Of TD + EDM."""

    td_coupling: str = "markov"
    k_idx: float = 1.0
    lambda_edm: float = 0.5
    steps: int = 18
    P_mean: float = -1.2
    P_std: float = 1.2


class _ReleasedCT(_Released):
    """Of TD + CT."""

    num_scales: int = 18
    loss_norm: str = "l2"
    weight_schedule: str = "uniform"
    lambda_td: float = 0.5


S = TypeVar("S", bound=_Released)


class VerifiedCase(NamedTuple):
    """One case of a file."""

    name: str
    settings: _Released
    expected: np.ndarray
    """One number, or one an image."""
    got: np.ndarray
    valid: str
    """How many of the images have a valid pair; the others' loss is (1 + lambda) times the base loss."""

    @property
    def relative_error(self) -> float:
        """The largest, over the images."""
        return float((np.abs(self.got - self.expected) / np.maximum(np.abs(self.expected), 1e-300)).max())

    @property
    def passed(self) -> bool:
        """False for NaN too."""
        return self.relative_error <= TOLERANCE

    def line(self) -> str:
        verdict = "ok  " if self.passed else "MISS"
        mean = f"expected {self.expected.mean():.15g}, got {self.got.mean():.15g}"
        numbers = f"{mean}, relative error {self.relative_error:.1e}"
        return f"{verdict} {self.name}: {self.settings.shown()} (valid pairs {self.valid}): {numbers}"


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
        consistency = f"{case}/indices" in content
        settings: _Released
        if consistency:
            settings = _settings(path, case, content, _ReleasedCT)
            losses = _ct_losses(path, case, content, settings)
        else:
            settings = _settings(path, case, content, _ReleasedEDM)
            losses = _edm_losses(path, case, content, settings)
        valid = f"{int(losses.valid.sum())} of {len(losses.valid)}"
        pairs = {"loss": losses.total, "loss_ct": losses.base, "loss_td": losses.td} if consistency else {}
        values = [(key, content[f"{case}/{key}"], found) for key, found in pairs.items()]
        values = values or [("loss", content[f"{case}/loss"], losses.total.mean())]
        for key, expected, found in values:
            yield VerifiedCase(f"{path.name} case {case} {key}", settings, np.asarray(expected), found.numpy(), valid)


def _edm_losses(path: Path, case: str, content: dict[str, np.ndarray], s: _ReleasedEDM) -> Losses:
    try:
        formulation = EDM(
            sigma_data=s.sigma_data,
            p_mean=s.P_mean,
            p_std=s.P_std,
            grid=KarrasGrid(num_steps=s.steps, sigma_min=s.sigma_min, sigma_max=s.sigma_max, rho=s.rho),
        )
        td = TDSettings(
            weight="source" if s.weight_td else "constant",
            lambda_=s.lambda_edm,
            span=s.k_idx,
            stride=s.one_idx,
            coupling=s.td_coupling,
        ).resolved(formulation)
    except ValueError as error:
        raise _refused(path, case, error) from error
    shape = _image_shape(path, content, case)
    wanted = {"x0": shape, "draw0": (shape[0], 1, 1, 1), "draw1": shape, "draw2": shape, "loss": ()}
    if s.td_coupling == "shared":
        del wanted["draw2"]
    _check_shapes(path, case, content, wanted)
    x0, time, image = (torch.from_numpy(_get(path, content, case, k)) for k in ("x0", "draw0", "draw1"))
    pair = torch.from_numpy(_get(path, content, case, "draw2")) if s.td_coupling == "markov" else torch.zeros_like(x0)
    drawn = _forward_pair(formulation, td, x0, formulation.sample_time(time), image, pair)
    network, target = _denoiser(0.9, 0.05), _denoiser(0.8, -0.02)
    return td_losses(network, target, formulation, td, x0, UNCONDITIONAL, drawn)


def _forward_pair(formulation: EDM, td: TD, x0: Tensor, t: Tensor, noise_prime: Tensor, noise: Tensor) -> Pair:
    """The pair as the released code draws it: x_t' from its own noise, then x_t from x_t' (`couple`)."""
    times = formulation.pair_times(t, td.span, td.stride)
    level, level_prime = formulation.level(t), formulation.level(times.t_prime)
    x_t, x_prime = couple(td.coupling, x0, level, level_prime, noise_prime, noise)
    return Pair(t, times, level, level_prime, x_t, x_prime)


class _SinglePrecisionCT(CT):
    """CT as the released code computes it: the noise levels of tau and tau' in single precision."""

    def pair_times(self, t: Tensor, span: float, stride: float) -> PairTimes:
        times = super().pair_times(t, span, stride)
        index = self.grid.index(t).round().float()
        single = [self.grid.time(index + shift).double() for shift in (stride, span + stride)]
        return times._replace(tau=single[0], tau_prime=single[1])


def _ct_losses(path: Path, case: str, content: dict[str, np.ndarray], s: _ReleasedCT) -> Losses:
    n = s.num_scales
    try:
        grid = KarrasGrid(num_steps=n, sigma_min=s.sigma_min, sigma_max=s.sigma_max, rho=s.rho)
        formulation = _SinglePrecisionCT(
            sigma_data=s.sigma_data,
            distance=s.loss_norm,
            loss_weight=s.weight_schedule,
            grid=grid,
            scales=Scales(initial=n, final=n),
        )
        td = TDSettings(
            preset="release",
            weight="pairwise" if s.weight_td else "constant",
            lambda_=s.lambda_td,
            stride=s.one_idx,
        ).resolved(formulation)
    except ValueError as error:
        raise _refused(path, case, error) from error
    if formulation.distance_weights_needed:
        raise TdbenchError(
            f"{path}: {case}/kwargs: loss_norm {s.loss_norm!r}: has a network in single precision, which does not "
            "agree to 10 digits; known here: l2, l1, pseudo-huber"
        )
    shape = _image_shape(path, content, case)
    each = shape[:1]
    _check_shapes(path, case, content, {"x0": shape, "noise": shape, "loss": each, "loss_ct": each, "loss_td": each})
    indices = _get(path, content, case, "indices")
    if indices.shape != each or indices.dtype != np.int64 or indices.min() < 0 or indices.max() > n - 2:
        raise TdbenchError(f"{path}: {case}/indices: expected {each} whole numbers in 0..{n - 2}")
    x0, image = (torch.from_numpy(_get(path, content, case, k)) for k in ("x0", "noise"))
    # The normal draw for which the formulation picks that index.
    picked = torch.special.ndtri((torch.from_numpy(indices) + 0.5) / (n - 1)).view(-1, 1, 1, 1)
    raws = (_Raw(0.7, 0.1), _Raw(0.6, -0.05))
    network, target = (Denoiser(raw, formulation.preconditioning()) for raw in raws)
    pair = draw_pair(formulation, td, x0, formulation.sample_time(picked), image, torch.zeros_like(image))
    losses = td_losses(network, target, formulation, td, x0, UNCONDITIONAL, pair)
    unpaired = _rounded_share(constant(td.lambda_, "lambda")) * losses.base
    return losses._replace(total=losses.total.where(losses.valid, unpaired))


def _rounded_share(lambda_: float) -> float:
    """1 + lambda as the released CT code has it for images without a pair: rounded to single precision.

    There a float32 mask is multiplied by it. Where 1 + lambda is no float32, as for lambda = 0.1, the loss differs
    from the exact one by some 2e-8.
    """
    return torch.tensor(1 + lambda_, dtype=torch.float32).item()


class _Raw(torch.nn.Module):
    """F(x, c) = a x + b tanh(c / 1000)."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None, augmentation: Tensor | None) -> Tensor:
        return self.a * x + self.b * torch.tanh(c_noise / 1000).view(-1, 1, 1, 1)


def _refused(path: Path, case: str, error: ValueError) -> TdbenchError:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return TdbenchError(f"{path}: {case}/kwargs: {first['loc']}: {first['input']!r}: {first['msg']}")
    return TdbenchError(f"{path}: {case}/kwargs: {error}")


def _image_shape(path: Path, content: dict[str, np.ndarray], case: str) -> tuple[int, ...]:
    shape = _get(path, content, case, "x0").shape
    if len(shape) != 4 or 0 in shape:
        raise TdbenchError(f"{path}: {case}/x0: {shape}; expected images (N, C, H, W)")
    return shape


def _check_shapes(path: Path, case: str, content: dict[str, np.ndarray], wanted: dict[str, tuple[int, ...]]) -> None:
    for key, expected in wanted.items():
        found = _get(path, content, case, key)
        if found.shape != expected or found.dtype != np.float64:
            raise TdbenchError(f"{path}: {case}/{key}: {found.dtype} {found.shape}; expected float64 {expected}")


def _denoiser(a: float, b: float) -> DenoiserCall:
    def denoise(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        return a * x / (1 + sigma**2) + b

    return denoise


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_arrays(path)
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such file") from error
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(f"{path}: not an npz of plain arrays ({error})") from error


def _get(path: Path, content: dict[str, np.ndarray], case: str, key: str) -> np.ndarray:
    if f"{case}/{key}" not in content:
        raise TdbenchError(f"{path}: {case}/{key}: is missing")
    return content[f"{case}/{key}"]


def _settings(path: Path, case: str, content: dict[str, np.ndarray], shape: type[S]) -> S:
    text = str(_get(path, content, case, "kwargs"))
    try:
        settings = ast.literal_eval(text)
    except Exception as error:  # literal_eval raises many kinds
        raise TdbenchError(f"{path}: {case}/kwargs: {text!r:.60}: not the repr of a dict") from error
    if not isinstance(settings, dict):
        raise TdbenchError(f"{path}: {case}/kwargs: {text!r:.60}: not the repr of a dict")
    known = shape.model_fields
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise TdbenchError(f"{path}: {case}/kwargs: unknown settings {unknown!r:.60}; known: {', '.join(known)}")
    try:
        # The released code takes None for "the default", and 1 and 0 as booleans.
        given = {key: value for key, value in settings.items() if value is not None}
        given |= {key: bool(value) for key, value in given.items() if key == "weight_td" and value in (0, 1)}
        return shape.model_validate(given)
    except ValidationError as error:
        raise _refused(path, case, error) from error
