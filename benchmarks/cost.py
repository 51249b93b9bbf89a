"""Time of a TD step relative to a step of its baseline."""

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.measure import Bench, Row, alternate
from benchmarks.subjects import EXACT, Training, images_for, varied
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.runtime.device import native_bf16

EDM_AT_MOST = 1.33
"""The paper's estimate: one forward pass in addition to a forward and a backward pass."""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure every formulation with small networks and EDM with the paper's, with equal and with cheaper targets."""
    for kind in FORMULATIONS:
        # Short steps are noisier, and repeating them costs little.
        yield from _compared(bench, kind, "unet-tiny", 64, repeats=61)
    if not bench.quick:
        for kind in FORMULATIONS:
            yield from _compared(bench, kind, "unet-small", 256 if bench.cuda else 4, repeats=9)
        yield from _compared(bench, "edm", "ddpmpp", 512 if bench.cuda else 2, repeats=7 if bench.cuda else 5)


def _compared(bench: Bench, kind: str, network: str, batch: int, repeats: int) -> Iterator[Row]:
    data = images_for(network)
    formats = {f"{kind}, {network}, fp32": EXACT}
    if network != "unet-tiny" and kind == "edm" and native_bf16(bench.device):
        formats[f"{kind}, {network}, target in bf16"] = EXACT | {"target_precision": "bf16"}
    baseline = Training(varied(f"{kind}-baseline-seed0", network, batch, **EXACT), data, bench.device)
    trained = {
        name: Training(varied(f"{kind}-td-seed0", network, batch, **format_), data, bench.device)
        for name, format_ in formats.items()
    }
    works = {name: training.step for name, training in trained.items()}
    for row in alternate(bench, works, baseline.step, bench.repeats(repeats), note=f"batch {batch}"):
        yield replace(row, at_most=EDM_AT_MOST if kind == "edm" else None)
