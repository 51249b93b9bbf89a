import pytest
import torch
from torch import Tensor, nn

from tdbench.diffusion.objectives.base import per_image_mean
from tdbench.diffusion.objectives.edm import EDM
from tdbench.diffusion.preconditioning import Denoiser, EDMPreconditioning

SIGMA = torch.tensor([0.002, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64).view(-1, 1, 1, 1)
P = EDMPreconditioning(0.5)


def test_network_input_and_target_have_unit_variance() -> None:
    """Karras et al. 2022, appendix B.6: the requirements from which the coefficients follow."""
    torch.testing.assert_close(P.c_in(SIGMA) ** 2 * (0.5**2 + SIGMA**2), torch.ones_like(SIGMA))
    # Var[(x0 - c_skip (x0 + sigma n)) / c_out]
    variance = ((1 - P.c_skip(SIGMA)) ** 2 * 0.5**2 + (P.c_skip(SIGMA) * SIGMA) ** 2) / P.c_out(SIGMA) ** 2
    torch.testing.assert_close(variance, torch.ones_like(SIGMA))


def test_against_diffusers() -> None:
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(sigma_data=0.5)
    x, output = (
        torch.randn(1, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    for sigma in SIGMA.flatten():
        level = sigma.view(1, 1, 1, 1)
        theirs = scheduler.precondition_outputs(x, output, sigma)
        torch.testing.assert_close(P.c_skip(level) * x + P.c_out(level) * output, theirs)
        torch.testing.assert_close(P.c_in(level) * x, scheduler.precondition_inputs(x, sigma))
        assert P.c_noise(level).item() == pytest.approx(float(scheduler.precondition_noise(sigma)))


def test_weighted_loss_of_an_untrained_network_is_one_at_every_level() -> None:
    """F = 0 leaves the target's own variance, which is 1 by construction."""
    n = 200_000
    source = torch.Generator().manual_seed(0)
    x0 = 0.5 * torch.randn(n, 1, 1, 1, generator=source, dtype=torch.float64)
    for sigma in SIGMA.flatten():
        t = sigma.expand(n).view(-1, 1, 1, 1)
        x = x0 + t * torch.randn(n, 1, 1, 1, generator=source, dtype=torch.float64)
        loss = EDM().base_loss(x0 - P.c_skip(t) * x, t)
        assert loss.mean().item() == pytest.approx(1, abs=0.02)


def test_denoiser_broadcasts_one_level_over_a_batch() -> None:
    class Network(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None) -> Tensor:
            assert c_noise.shape == (len(x),)
            return x * c_noise.view(-1, 1, 1, 1)

    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    denoiser = Denoiser(Network(), P)
    one = denoiser(x, torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64))
    torch.testing.assert_close(one, denoiser(x, torch.full((3, 1, 1, 1), 2.0, dtype=torch.float64)))
    assert per_image_mean(one).shape == (3,)
