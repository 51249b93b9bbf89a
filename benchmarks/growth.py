"""Growth of time with the number of images, pixels and evaluations."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

import torch

from benchmarks.measure import Bench, Row, alternate
from benchmarks.subjects import Training, images_for, varied
from tdbench.diffusion.preconditioning import Condition
from tdbench.diffusion.samplers import Heun, count_evaluations
from tdbench.training.state import build_denoiser

NETWORK = "unet-small"


def rows(bench: Bench) -> Iterator[Row]:
    """Measure time per unit of work relative to that at half the work or less; 1 means linear growth."""
    network = "unet-tiny" if bench.quick else NETWORK
    batches, sides, budgets = ((4, 8), (8, 16), (2, 4)) if bench.quick else ((4, 8, 16, 32), (16, 32, 64), (4, 9, 18))
    yield from _compared(bench, "batch", {n: (n, _step(bench, network, n, None)) for n in batches})
    yield from _compared(bench, "resolution", {n: (n * n, _step(bench, network, 4, n)) for n in sides})
    nfe = {n: count_evaluations(Heun(), varied("edm-td-seed0", network, 4).formulation, n) for n in budgets}
    yield from _compared(bench, "Heun steps", {n: (nfe[n], _sampling(bench, network, n)) for n in budgets})


def _compared(bench: Bench, axis: str, points: Mapping[int, tuple[int, Callable[[], object]]]) -> Iterator[Row]:
    """Measure each point relative to the previous one. ``points``: value -> (amount of work, function)."""
    for (small, (less, reference)), (large, (more, work)) in pairwise(points.items()):
        name, growth = f"{axis} {large} / {small}, per unit", more / less
        for row in alternate(bench, {name: work}, reference, bench.repeats(5)):
            exponent = math.log(row.ratio) / math.log(growth)
            note = f"{growth:.3g} times the work in {row.ratio:.3g} times the time, exponent {exponent:.2f}"
            yield replace(row, ratio=row.ratio / growth, low=row.low / growth, high=row.high / growth, note=note)


def _step(bench: Bench, network: str, batch: int, resolution: int | None) -> Callable[[], None]:
    run = varied("edm-td-seed0", network, batch)
    return Training(run, images_for(network, resolution), bench.device).step


def _sampling(bench: Bench, network: str, steps: int) -> Callable[[], object]:
    run, data = varied("edm-td-seed0", network, 4), images_for(network)
    denoiser = build_denoiser(run, data.summary(), seed=0).to(bench.device).eval()
    noise = torch.randn(4, data.channels, data.resolution, data.resolution, generator=torch.Generator().manual_seed(0))
    condition = Condition(torch.eye(data.num_classes, device=bench.device)[:4])
    start = noise.to(bench.device)
    return lambda: Heun().sample(denoiser, start, condition, run.formulation, steps, lambda: start)
