"""Identities that hold for every formulation, and the textbook facts of each."""

import math

import pytest
import torch
from torch import Tensor

from tdbench.diffusion.formulations import CT, DDIM, DDPM, FORMULATIONS, VP, Formulation
from tdbench.diffusion.formulations.base import Noise
from tdbench.diffusion.formulations.ct import Scales
from tdbench.diffusion.formulations.ddpm import log_alpha_bar
from tdbench.diffusion.objectives.base import Baseline
from tdbench.diffusion.objectives.targets import TargetEMA, TargetHard, TargetOnline, TargetOwn
from tdbench.diffusion.objectives.td import TDSettings
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition, CountingDenoiser
from tdbench.diffusion.processes import posterior_coefficients

F64 = torch.float64
ALL = [*FORMULATIONS, "cosine"]


def formulation(kind: str) -> Formulation:
    if kind == "cosine":
        return DDPM(schedule="cosine")
    return FORMULATIONS[kind]().at(0.5)


def draw(n: int = 64, dtype: torch.dtype = F64) -> tuple[Tensor, Noise]:
    source = torch.Generator().manual_seed(0)
    x0 = torch.randn(n, 2, 4, 4, generator=source, dtype=dtype) * 0.5
    return x0, Noise.draw(x0.shape, dtype, source, source, torch.Generator().manual_seed(1))


def denoiser(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    return 0.3 * x + 0.05


def target(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
    return 0.25 * x - 0.02


@pytest.mark.parametrize("kind", ALL)
def test_forward_passes_of_a_step(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One of the network, one of the target where there is one; TD + CT needs no more than CT."""
    f, (x0, noise) = formulation(kind), draw()
    passes = {}
    for objective in (Baseline(), TDSettings().resolved(f)):
        network, other = CountingDenoiser(denoiser), CountingDenoiser(target)
        objective.losses(network, other, f, x0, UNCONDITIONAL, noise)
        passes[objective.kind] = (network.calls, other.calls)
    with capsys.disabled():
        print(f"\n  {kind}: network and target evaluations, baseline {passes['baseline']}, TD {passes['td']}")
    assert passes == {"baseline": (1, int(kind == "ct")), "td": (1, 1)}


@pytest.mark.parametrize("kind", ALL)
def test_a_td_run_sees_the_very_points_of_its_baseline(kind: str) -> None:
    f, (x0, noise) = formulation(kind), draw()
    base = Baseline().losses(denoiser, target, f, x0, UNCONDITIONAL, noise)
    td = TDSettings().resolved(f).losses(denoiser, target, f, x0, UNCONDITIONAL, noise)
    torch.testing.assert_close(td.base, base.total, rtol=1e-7, atol=0)


@pytest.mark.parametrize("kind", ALL)
def test_outside_the_range_the_loss_is_one_plus_lambda_times_the_base(kind: str) -> None:
    f, (x0, noise) = formulation(kind), draw()
    # Half of the images at the last time of training.
    z = torch.where(torch.arange(64).view(-1, 1, 1, 1) % 2 == 0, noise.time, -6.0 if kind != "ct" else 6.0)
    if kind in ("ddpm", "ddim", "cosine", "vp", "ve"):
        z = torch.where(z == -6.0, -7.0, z)
    losses = (
        TDSettings(**{"lambda": 0.3}).resolved(f).losses(denoiser, target, f, x0, UNCONDITIONAL, noise._replace(time=z))
    )
    assert not losses.valid[1::2].any() and losses.valid[::2].any()
    out = ~losses.valid
    torch.testing.assert_close(losses.total[out], 1.3 * losses.base[out], rtol=1e-12, atol=0)
    torch.testing.assert_close(losses.total[~out], (losses.td + 0.3 * losses.base)[~out])
    assert (losses.td[out] == 0).all() and (losses.td[~out] > 0).all()


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("z", [-8.0, -3.0, 0.0, 3.0, 8.0])
def test_losses_and_gradients_are_finite_everywhere(kind: str, z: float) -> None:
    f, (x0, noise) = formulation(kind), draw(8, torch.float32)
    weight = torch.ones((), requires_grad=True)
    losses = (
        TDSettings()
        .resolved(f)
        .losses(
            lambda x, t, c: weight * denoiser(x, t, c),
            target,
            f,
            x0,
            UNCONDITIONAL,
            noise._replace(time=torch.full_like(noise.time, z)),
        )
    )
    losses.total.mean().backward()
    assert losses.total.dtype == torch.float32
    assert losses.total.isfinite().all() and weight.grad is not None and weight.grad.isfinite()


@pytest.mark.parametrize("kind", ALL)
def test_pairwise_weight_bounds_the_td_loss_by_the_networks_errors(kind: str) -> None:
    """Where errors of D are c_out e: w ||delta||^2 <= ||e||^2 + ||e'||^2 (for CT with e of D itself)."""
    f = formulation(kind)
    t = f.sample_time(torch.linspace(-1.5, 1.5, 50, dtype=F64).view(-1, 1, 1, 1))
    times = f.pair_times(t, 1, 1)
    a, a_prime = (
        posterior_coefficients("ancestral", f.level(u), f.level(v))[0]
        for u, v in ((t, times.tau), (times.t_prime, times.tau_prime))
    )
    w = f.pair_weight("pairwise", a, t, a_prime, times.t_prime)
    p, source = f.preconditioning(), torch.Generator().manual_seed(2)
    e, e_prime = (torch.randn(50, 1, 4, 4, generator=source, dtype=F64) for _ in range(2))
    scale, scale_prime = (1.0, 1.0) if kind == "ct" else (p.c_out(t), p.c_out(times.t_prime))
    bound = w * (a * scale * e - a_prime * scale_prime * e_prime) ** 2 <= e**2 + e_prime**2 + 1e-9
    assert bound[times.valid.expand_as(bound)].all() and times.valid.any()


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_posterior_of_ddpm_is_the_textbook_one(schedule: str) -> None:
    """mu = sqrt(abar_{t-1}) beta_t / (1 - abar_t) x0 + sqrt(alpha_t) (1 - abar_{t-1}) / (1 - abar_t) x_t (eq. 7)."""
    f, t = DDPM(schedule=schedule), torch.arange(1, 1001, dtype=F64)
    abar = log_alpha_bar(schedule, 1000).exp()
    beta = 1 - abar[1:] / abar[:-1]
    a, kappa = posterior_coefficients("ancestral", f.level(t), f.level(t - 1))
    torch.testing.assert_close(a, abar[:-1].sqrt() * beta / (1 - abar[1:]), rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(kappa, (1 - beta).sqrt() * (1 - abar[:-1]) / (1 - abar[1:]), rtol=1e-8, atol=1e-12)


def test_discrete_pairs_are_those_of_the_method() -> None:
    """tau = t - 1, t' = t - k, tau' = t' - 1; for t <= k the return is known."""
    times = DDPM().pair_times(torch.tensor([1.0, 2, 3, 4, 1000], dtype=F64), span=2, stride=1)
    assert times.valid.tolist() == [False, False, True, True, True]
    assert times.t_prime.tolist()[2:] == [1, 2, 998] and times.tau.tolist()[2:] == [2, 3, 999]
    assert times.tau_prime.tolist()[2:] == [0, 1, 997]


def test_the_discrete_process_converges_to_the_continuous_one() -> None:
    """alpha of DDPM's linear beta with T steps against the VP-SDE's, at the same times; the error falls as 1 / T."""
    errors = []
    for steps in (250, 1000, 4000):
        # beta_t T runs from 0.1 to 20, as beta(t) of the SDE.
        t = torch.arange(1, steps + 1, dtype=F64)
        discrete = (log_alpha_bar("linear", steps)[1:] / 2).exp()
        errors.append(float((discrete - VP().level(t / steps).alpha).abs().max()))
    assert errors[2] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2) and errors[1] / errors[2] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("kind", ALL)
def test_the_deterministic_posterior_lands_on_the_ode_path(kind: str) -> None:
    f, (x0, noise) = formulation(kind), draw()
    t = f.sample_time(noise.time)
    tau = f.pair_times(t, 1, 1).tau
    at, ahead = f.level(t), f.level(tau)
    a, kappa = posterior_coefficients("deterministic", at, ahead)
    landed = a * x0 + kappa * (at.alpha * x0 + at.sigma * noise.image)
    torch.testing.assert_close(landed, ahead.alpha * x0 + ahead.sigma * noise.image, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ALL)
def test_the_process_ends_in_noise_and_training_reaches_all_its_times(kind: str) -> None:
    f = formulation(kind)
    first = f.level(f.grid.times(1))
    assert (first.sigma / first.alpha).item() > 50
    t = f.sample_time(torch.randn(20_000, 1, 1, 1, dtype=F64, generator=torch.Generator().manual_seed(0)))
    assert (f.level(t).sigma > 0).all() and t.unique().numel() > 50


def test_baselines_of_ddpm_and_ddim_are_one_training() -> None:
    assert DDPM().baseline_settings() == DDIM().baseline_settings() != DDPM(schedule="cosine").baseline_settings()


def test_progressive_scales_and_the_targets_decay() -> None:
    """Song et al. 2023, appendix C: N from s0 to s1 + 1, mu towards 1."""
    scales = Scales(initial=2, final=150, mu0=0.9)
    counts = [scales.count(k / 1000) for k in range(1000)]
    assert counts[0] == 2 and counts[-1] in (150, 151) and counts == sorted(counts)
    assert scales.decay(0) == pytest.approx(math.exp(2 * math.log(0.9) / 2)) and scales.decay(0.999) > 0.998
    assert CT(scales=scales).at(0.0).grid.num_steps == 2
    assert {Scales(initial=18, final=18).count(k / 10) for k in range(11)} == {18}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uniform", [1, 1]),
        ("karras", [1 / 4 + 4, 1 / 0.01 + 4]),
        ("truncated-snr", [1, 100]),
        ("inverse-gap", [1, 1 / 0.05]),
    ],
)
def test_weights_of_the_consistency_loss(name: str, expected: list[float]) -> None:
    t, t_prime = (torch.tensor(v, dtype=F64).view(2, 1, 1, 1) for v in ([2.0, 0.1], [1.0, 0.05]))
    assert CT(loss_weight=name)._loss_weight(t, t_prime).flatten().tolist() == pytest.approx(expected)


def test_targets() -> None:
    f = CT()
    assert TargetEMA(decay=0.9).decay(1, 0, f) == 0.9 and TargetOnline().decay(1, 0, f) == 0
    assert [TargetHard(period=3).decay(step, 0, f) for step in range(1, 7)] == [1, 1, 0, 1, 1, 0]
    assert TargetOwn().decay(1, 0.5, f) == f.scales.decay(0.5)
