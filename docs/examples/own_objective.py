"""An objective of one's own: the Huber loss of the raw network's error instead of its square."""

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
    """Errors beyond ``width`` count linearly. Set in the experiment file: ``huber: {width: 0.5}``."""

    kind: Literal["huber"] = "huber"
    width: Annotated[float, Field(gt=0)] = 1.0

    def losses(
        self,
        denoiser: DenoiserCall,
        target: DenoiserCall | None,
        formulation: Formulation,
        x0: Tensor,
        condition: Condition,
        noise: Noise,
    ) -> Losses:
        t = formulation.sample_time(noise.time)
        level = formulation.level(t).like(x0)
        x_t = level.alpha * x0 + level.sigma * noise.image
        error = (x0 - denoiser(x_t, t, condition)) / like(formulation.preconditioning().c_out(t), x0)
        loss = per_image_mean(huber_loss(error, torch.zeros_like(error), reduction="none", delta=self.width))
        return Losses(loss, loss, torch.zeros_like(loss), torch.zeros(len(loss), dtype=torch.bool))
