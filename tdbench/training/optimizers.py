"""PyTorch's optimizers by the name that an experiment gives them."""

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import nn

from tdbench.experiment.schema import Training

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "radam": torch.optim.RAdam,
}
"""kind -> class. `RAdam` is Liu et al. 2020, `AdamW` Loshchilov & Hutter 2019. PyTorch has no fused kernel of RAdam."""


def build_optimizer(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """The optimizer of a training; every learning rate of its steps is set from outside."""
    settings = training.optimizer
    return OPTIMIZERS[settings.kind](
        parameters,
        lr=training.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
