"""The residual delta: the cancelled form, which tdbench computes, relative to the long form of its definition."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.measure import Bench, Row, alternate, exact
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.objectives.td import residual
from tdbench.diffusion.processes import like, posterior_coefficients

SPAN, STRIDE = 1.0, 0.25


def rows(bench: Bench) -> Iterator[Row]:
    """Measure time, and the float32 rounding error at EDM's noisiest pair, sigma = 80."""
    inputs = _inputs(bench.device)
    works = {"delta, cancelled form / long form": lambda: cancelled(inputs)}
    for row in alternate(bench, works, lambda: long_form(inputs), bench.repeats(15)):
        yield replace(row, note="512 images of 3x32x32")
    precise = {name: value.double() for name, value in inputs.items()}
    wanted = cancelled(precise)
    errors = [float((form(inputs) - wanted).norm() / wanted.norm()) for form in (cancelled, long_form)]
    note = f"relative error in float32 at sigma 80: {errors[0]:.1e}, long form {errors[1]:.1e}"
    yield exact("rounding error of delta, cancelled form / long form", "error", errors[0] / errors[1], note)


def _inputs(device: torch.device) -> dict[str, Tensor]:
    """Return float32 images, estimates with the error of a network at that noise, and coefficients."""
    source = torch.Generator().manual_seed(0)
    formulation = EDM()
    t = formulation.grid.time(torch.zeros(1, 1, 1, 1, dtype=torch.float64))
    times = formulation.pair_times(t, SPAN, STRIDE)
    t_prime = times.t_prime
    a, kappa = posterior_coefficients("ancestral", formulation.level(t), formulation.level(times.tau))
    a_prime, kappa_prime = posterior_coefficients(
        "ancestral", formulation.level(t_prime), formulation.level(times.tau_prime)
    )

    def noise() -> Tensor:
        return torch.randn(512, 3, 32, 32, generator=source)

    x0 = noise().clamp(-2, 2) / 2
    found = {"x0": x0, "denoised": x0 + 0.4 * noise(), "denoised_prime": x0 + 0.4 * noise()}
    found |= {"x": x0 + float(t) * noise(), "x_prime": x0 + float(t_prime) * noise()}
    found |= {"a": a, "a_prime": a_prime, "kappa": kappa, "kappa_prime": kappa_prime}
    return {name: like(value, x0.to(device)) for name, value in found.items()}


def cancelled(v: dict[str, Tensor]) -> Tensor:
    """Return delta as tdbench computes it."""
    return residual(v["a"], v["x0"] - v["denoised"], v["a_prime"], v["x0"] - v["denoised_prime"])


def long_form(v: dict[str, Tensor]) -> Tensor:
    """Return delta by its definition: the drift of the posterior mean from t to t', true and by the model."""
    true = (v["a"] * v["x0"] + v["kappa"] * v["x"]) - (v["a_prime"] * v["x0"] + v["kappa_prime"] * v["x_prime"])
    model = v["a"] * v["denoised"] + v["kappa"] * v["x"]
    return true - (model - (v["a_prime"] * v["denoised_prime"] + v["kappa_prime"] * v["x_prime"]))
