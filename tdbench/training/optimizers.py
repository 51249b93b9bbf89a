"""The optimizer of a training: PyTorch's own, by the name that an experiment gives it."""

from collections.abc import Iterable
from pkgutil import resolve_name

import torch
from torch import nn

from tdbench.experiment.training import OPTIMIZERS, Training


def build_optimizer(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """The optimizer of a training; every learning rate of its steps is set from outside."""
    settings, row = training.optimizer, OPTIMIZERS[training.optimizer.kind]
    built: torch.optim.Optimizer = resolve_name(row.name)(
        parameters,
        lr=training.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        **({"fused": True} if row.fused else {}),
    )
    return built
