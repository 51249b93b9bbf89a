"""Time of a tdbench step relative to that of a plain training loop, as in a tutorial."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measure import Bench, Row, alternate
from benchmarks.subjects import EXACT, Training, images_for, varied
from tdbench.data.archive import ImageSet
from tdbench.experiment.run import Run
from tdbench.training.state import build_denoiser


def textbook_loop(network: nn.Module, data: ImageSet, run: Run, device: torch.device) -> Iterator[float]:
    """Train EDM (Karras et al. 2022) plainly: float32, eager, one batch after the other; yields losses."""
    images = torch.from_numpy(data.images).float() / 127.5 - 1
    labels = one_hot(torch.from_numpy(data.labels), data.num_classes).float()
    loader = DataLoader(TensorDataset(images, labels), batch_size=run.training.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=run.training.learning_rate)
    average = copy.deepcopy(network)
    sigma_data = 0.5
    while True:
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            sigma = (torch.randn(len(x), 1, 1, 1, device=device) * 1.2 - 1.2).exp()
            noisy = x + sigma * torch.randn_like(x)
            scale = sigma**2 + sigma_data**2
            c_skip, c_out, c_in = sigma_data**2 / scale, sigma * sigma_data / scale.sqrt(), 1 / scale.sqrt()
            denoised = c_skip * noisy + c_out * network(c_in * noisy, (sigma.log() / 4).flatten(), y)
            loss = (scale / (sigma * sigma_data) ** 2 * (denoised - x) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.data.mul_(0.999).add_(new.data, alpha=0.001)
            yield loss.item()


@contextmanager
def as_shipped() -> Iterator[None]:
    """Use PyTorch's defaults, because a tutorial sets neither determinism nor TF32."""
    repeatable, tuned = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(repeatable, warn_only=True)
        torch.backends.cudnn.benchmark = tuned
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


def rows(bench: Bench) -> Iterator[Row]:
    """Measure the baseline of EDM, with the settings that `auto` chooses and with everything in float32."""
    sizes = {"unet-tiny": 64} if bench.quick else {"unet-tiny": 64, "unet-small": 4, "ddpmpp": 2}
    if bench.cuda:
        sizes = dict.fromkeys(sizes, 512)
    for network, batch in sizes.items():
        data, name = images_for(network), "edm-baseline-seed0"
        works: dict[str, Callable[[], None]] = {}
        for label, settings in (("auto", {}), ("fp32", EXACT)):
            training = Training(varied(name, network, batch, **settings), data, bench.device)
            engine = training.state.engine
            chosen = f"auto ({engine.precision}{', compiled' if engine.compiled else ''})" if label == "auto" else label
            works[f"{network}, {chosen}"] = training.step
        plain = varied(name, network, batch)
        network_ = build_denoiser(plain, data.summary(), seed=0).network.to(bench.device).train()
        loop = textbook_loop(network_, data, plain, bench.device)

        def reference(loop: Iterator[float] = loop) -> None:
            with as_shipped():
                next(loop)

        repeats = bench.repeats(5 if network == "ddpmpp" and not bench.cuda else 15)
        yield from alternate(bench, works, reference, repeats, at_most=1.0, note=f"batch {batch}")
