import pytest
import torch
from torch import Tensor, nn

from tdbench.diffusion.formulations import CT, DDPM, EDM, VE, VP
from tdbench.diffusion.formulations.base import Estimates, Formulation, per_image_mean
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
        loss = EDM().base_loss(Estimates(x0, P.c_skip(t) * x, t))
        assert loss.mean().item() == pytest.approx(1, abs=0.02)


def test_denoiser_broadcasts_one_level_over_a_batch() -> None:
    class Network(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None, augmentation: Tensor | None) -> Tensor:
            assert c_noise.shape == (len(x),)
            return x * c_noise.view(-1, 1, 1, 1)

    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    denoiser = Denoiser(Network(), P)
    one = denoiser(x, torch.full((1, 1, 1, 1), 2.0, dtype=torch.float64))
    torch.testing.assert_close(one, denoiser(x, torch.full((3, 1, 1, 1), 2.0, dtype=torch.float64)))
    assert per_image_mean(one).shape == (3,)


@pytest.mark.parametrize("t", [1, 10, 500, 999, 1000])
@pytest.mark.parametrize(("ours", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_noise_prediction_and_ancestral_step_against_diffusers(ours: str, theirs: str, t: int) -> None:
    """D, and the posterior mean A D + kappa x, of the discrete process against `DDPMScheduler.step`."""
    from diffusers import DDPMScheduler

    from tdbench.diffusion.processes import posterior_coefficients

    scheduler = DDPMScheduler(1000, beta_schedule=theirs, clip_sample=False, variance_type="fixed_small")
    formulation = DDPM(schedule=ours)
    time, previous = (torch.full((1, 1, 1, 1), float(v), dtype=torch.float64) for v in (t, t - 1))
    x, output = (
        torch.randn(1, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    p = formulation.preconditioning()
    assert p.c_noise(time).item() == t - 1 and p.c_in(time).item() == 1
    denoised = p.c_skip(time) * x + p.c_out(time) * output
    a, kappa = posterior_coefficients("ancestral", formulation.level(time), formulation.level(previous))
    step = scheduler.step(output, t - 1, x, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(denoised, step.pred_original_sample, rtol=2e-3, atol=1e-5)
    mean = a * denoised + kappa * x
    if t > 1:
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
        mean = mean + scheduler._get_variance(t - 1) ** 0.5 * noise
    torch.testing.assert_close(mean, step.prev_sample, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("formulation", [EDM(), VE(), CT()])
def test_the_time_of_a_ratio_is_its_inverse(formulation: Formulation) -> None:
    _check_time_of(formulation, torch.tensor([0.05, 0.5, 5.0, 50.0], dtype=torch.float64))


def test_the_time_of_a_ratio_in_vp() -> None:
    _check_time_of(VP(), torch.tensor([1e-3, 0.1, 0.5, 1.0], dtype=torch.float64))


def _check_time_of(formulation: Formulation, t: Tensor) -> None:
    level = formulation.level(t)
    torch.testing.assert_close(formulation.time_of(level.sigma / level.alpha), t)


def test_consistency_boundary() -> None:
    """D(x, sigma_min) = x whatever the network says (Song et al. 2023)."""
    p, t = CT().preconditioning(), torch.full((1, 1, 1, 1), 0.002, dtype=torch.float64)
    assert p.c_skip(t).item() == 1 and p.c_out(t).item() == 0
