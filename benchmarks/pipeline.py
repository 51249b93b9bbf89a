"""Sampling time relative to diffusers' pipeline, with equal weights, batch and number of evaluations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Bench, Row, alternate
from benchmarks.subjects import images_for, varied
from tdbench.data.loading import to_uint8
from tdbench.data.summary import DataSummary
from tdbench.diffusion.preconditioning import Denoiser
from tdbench.experiment.run import Run
from tdbench.runtime.device import without_gradient
from tdbench.sampling.stage import Latents, fresh_noise
from tdbench.training.state import build_denoiser


def rows(bench: Bench) -> Iterator[Row]:
    """Measure DDIM with unconditional networks, which are all that the pipeline supports."""
    small = 256 if bench.cuda else 16
    for network, images, steps in (("unet-tiny", 100, 20), ("unet-small", small, 10))[: 1 if bench.quick else 2]:
        content = varied("ddim-td-seed0", network, 4).model_dump(by_alias=True)
        content["sampling"] |= {"images": images, "batch_size": images, "steps": [steps]}
        content["evaluation"] |= {"kid_subset_size": 2}
        run = Run.model_validate(content)
        data = images_for(network).summary().model_copy(update={"classes": 0})
        denoiser = build_denoiser(run, data, seed=0).to(bench.device).eval()
        pipeline = diffusers_pipeline(denoiser, run)
        note = f"{images} images, {steps} steps, {compare_evaluations(denoiser, run, data, pipeline)}"
        works = {f"sampling {network}": lambda d=denoiser, r=run, s=data: ours(d, r, s)}
        reference = lambda p=pipeline, r=run: theirs(p, r)  # noqa: E731
        yield from alternate(bench, works, reference, bench.repeats(9), at_most=1.0, note=note)


def diffusers_pipeline(denoiser: Denoiser, run: Run) -> Any:
    """Return diffusers' DDIM pipeline around the same network."""
    from diffusers import DDIMPipeline, DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=run.formulation.grid.last, clip_sample=run.sampling.sampler.clip)
    pipeline = DDIMPipeline(denoiser.network.unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(denoiser: Denoiser, run: Run, data: DataSummary) -> np.ndarray:
    """Sample (N, H, W, C) uint8 images as `tdbench.sampling.stage` does, including the latents."""
    latents, device = Latents.of(run, data), next(denoiser.parameters()).device
    index = torch.arange(len(latents.noise))
    fresh = fresh_noise(run.seed, index.tolist(), latents.noise.shape[1:], device)
    noise, condition = latents.noise.to(device), latents.condition(index, device)
    with without_gradient(device):
        result = run.sampling.sampler.sample(denoiser, noise, condition, run.formulation, run.sampling.steps[0], fresh)
    pixels: np.ndarray = to_uint8(result).cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def theirs(pipeline: Any, run: Run) -> np.ndarray:
    """Sample (N, H, W, C) floats in [0, 1] on the pipeline's fastest path, without Pillow images."""
    images: np.ndarray = pipeline(
        batch_size=run.sampling.images,
        num_inference_steps=run.sampling.steps[0],
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    return images


def compare_evaluations(denoiser: Denoiser, run: Run, data: DataSummary, pipeline: Any) -> str:
    """Count the network evaluations of both samplers.

    Raises
    ------
    RuntimeError
        If they differ, because the times would not be comparable.
    """
    counts = []
    for work in (lambda: ours(denoiser, run, data), lambda: theirs(pipeline, run)):
        seen: list[int] = []
        hook = denoiser.network.unet.register_forward_hook(lambda module, given, result, seen=seen: seen.append(1))
        work()
        hook.remove()
        counts.append(len(seen))
    if counts[0] != counts[1]:
        raise RuntimeError(f"{counts[0]} evaluations here, {counts[1]} in the pipeline")
    return f"{counts[0]} evaluations each"
