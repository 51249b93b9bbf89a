"""Template for an objective: the Huber loss of the raw network's error instead of its square.

To use it, copy this file beside your experiment file and add there: `plugins: [own_objective.py]` and
`objectives: {baseline: {}, huber: {width: 0.5}}`.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import huber_loss

from tdbench.diffusion.formulations.base import Formulation, Losses, Noise, per_image_mean
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.preconditioning import Condition, DenoiserCall
from tdbench.diffusion.processes import like
from tdbench.plugins import register


@register("objective")
class Huber(Objective):
    """Errors beyond ``width`` count linearly."""

    kind: Literal["huber"] = "huber"
    width: Annotated[float, Field(gt=0)] = 1.0  # each field is a setting of the experiment file

    def losses(
        self,
        denoiser: DenoiserCall,  # (x, t, condition) -> estimate of x0, (N, C, H, W)
        target: DenoiserCall | None,  # the target network, None unless `target_rule` returns a rule
        formulation: Formulation,
        x0: Tensor,  # (N, C, H, W) images, in [-1, 1]
        condition: Condition,  # labels (N, K) one-hot or None, augmentation (N, 9) or None
        noise: Noise,  # time (N, 1, 1, 1); image and pair (N, C, H, W); standard normal
    ) -> Losses:
        """The (N,) losses of a batch. Change the last four lines."""
        t = formulation.sample_time(noise.time)  # (N, 1, 1, 1)
        level = formulation.level(t).like(x0)
        x_t = level.alpha * x0 + level.sigma * noise.image
        error = (x0 - denoiser(x_t, t, condition)) / like(formulation.preconditioning().c_out(t), x0)
        loss = per_image_mean(huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.width))
        # What is minimised, the formulation's own loss, the TD loss, and whether the image has a pair (on the CPU).
        return Losses(loss, loss, torch.zeros_like(loss), torch.zeros(len(loss), dtype=torch.bool))
