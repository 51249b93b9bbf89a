"""How many images the target network of the temporal difference sees."""

import torch

from tdbench.diffusion.formulations.base import Formulation

QUANTILES = 2**14
"""Quantiles of the training times from which the share of valid pairs is computed."""


def valid_share(formulation: Formulation, span: float, stride: float) -> float:
    """Expected share of images with a valid pair, over the formulation's distribution of training times."""
    levels = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
    t = formulation.sample_time(torch.special.ndtri(levels).view(-1, 1, 1, 1))
    return float(formulation.pair_times(t, span, stride).valid.double().mean())


SHARES = 16
"""Number of batch sizes that a target network sees: each other shape would be compiled or tuned again."""


def rounded_up(needed: int, total: int) -> int:
    """Images that the target network sees: the needed ones, rounded up to a sixteenth of the batch."""
    step = -(-total // SHARES)
    return min(-(-needed // step) * step, total)


def expected_target_images(share: float, total: int) -> float:
    """Mean of `rounded_up` over the binomial distribution of the number of valid pairs among ``total`` images."""
    if not 0 < share < 1:
        return float(rounded_up(round(share * total), total))
    counts = torch.arange(total + 1, dtype=torch.float64)
    weights = torch.distributions.Binomial(total, torch.tensor(share, dtype=torch.float64)).log_prob(counts).exp()
    seen = torch.tensor([rounded_up(count, total) for count in range(total + 1)], dtype=torch.float64)
    return float((weights * seen).sum())
