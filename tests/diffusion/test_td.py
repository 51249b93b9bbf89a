"""Identities of the temporal-difference objective."""

from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

from tdbench.diffusion.formulations import CT, EDM, FORMULATIONS
from tdbench.diffusion.formulations.base import Losses, Noise, per_image_mean
from tdbench.diffusion.objectives.base import Baseline
from tdbench.diffusion.objectives.targets import TargetEMA
from tdbench.diffusion.objectives.td import TD, TDSettings, residual
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition
from tdbench.diffusion.processes import couple, posterior_coefficients

FORMULATION = EDM()
F64 = torch.float64


def draw(n: int = 64, seed: int = 0, dtype: torch.dtype = F64) -> tuple[Tensor, Noise]:
    source = torch.Generator().manual_seed(seed)
    x0 = torch.randn(n, 2, 4, 4, generator=source, dtype=dtype) * 0.5
    return x0, Noise.draw(x0.shape, dtype, source, source, torch.Generator().manual_seed(seed + 1))


def pairwise_weight(a: Tensor, c: Tensor, a_prime: Tensor, c_prime: Tensor) -> Tensor:
    return 1 / ((a * c) ** 2 + (a_prime * c_prime) ** 2)


def denoiser(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    return 0.9 * x / (1 + sigma**2) + 0.05


def target(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
    return 0.8 * x / (1 + sigma**2) - 0.02


@pytest.mark.parametrize("posterior", ["ancestral", "deterministic"])
def test_cancelled_form_equals_the_long_form_and_keeps_more_digits(
    posterior: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """delta as true drift minus model drift, in float64 equal to the cancelled form, at large sigma less exact."""
    x0, noise = draw()
    t = torch.full((64, 1, 1, 1), 80.0, dtype=F64)
    times = FORMULATION.pair_times(t, 1, 0.25)
    levels = [FORMULATION.level(s) for s in (t, times.t_prime, times.tau, times.tau_prime)]

    def forms(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        x_t, x_prime = couple("markov", x0, *levels[:2], noise.image, noise.pair)
        d, d_prime = denoiser(x_t, t, None), target(x_prime, times.t_prime, None)
        x_t, x_prime, d, d_prime, clean = (v.to(dtype) for v in (x_t, x_prime, d, d_prime, x0))
        a, kappa = (v.to(dtype) for v in posterior_coefficients(posterior, levels[0], levels[2]))
        a_prime, kappa_prime = (v.to(dtype) for v in posterior_coefficients(posterior, levels[1], levels[3]))
        true = (a * clean + kappa * x_t) - (a_prime * clean + kappa_prime * x_prime)
        model = (a * d + kappa * x_t) - (a_prime * d_prime + kappa_prime * x_prime)
        return true - model, residual(a, clean - d, a_prime, clean - d_prime)

    long, exact = forms(F64)
    torch.testing.assert_close(long, exact, rtol=0, atol=1e-12)
    for dtype in (torch.float32, torch.bfloat16):
        errors = [(form.to(F64) - exact).norm().item() / exact.norm().item() for form in forms(dtype)]
        with capsys.disabled():
            print(f"\n  sigma 80, {posterior}, {dtype}: relative error long {errors[0]:.1e}, cancelled {errors[1]:.1e}")
        assert errors[1] < errors[0]


def test_outside_the_range_the_loss_is_one_plus_lambda_times_the_base() -> None:
    x0, noise = draw()
    z = torch.where(torch.arange(64).view(-1, 1, 1, 1) % 2 == 0, noise.time, -4.0)  # sigma below the last pair
    noise = noise._replace(time=z)
    losses = (
        TDSettings(lambda_=0.3).resolved(FORMULATION).losses(denoiser, target, FORMULATION, x0, UNCONDITIONAL, noise)
    )
    assert not losses.valid[1::2].any() and losses.valid[::2].all()
    torch.testing.assert_close(losses.total[1::2], 1.3 * losses.base[1::2], rtol=1e-14, atol=0)
    assert (losses.td[1::2] == 0).all()
    torch.testing.assert_close(losses.total[::2], losses.td[::2] + 0.3 * losses.base[::2])


@pytest.mark.parametrize("z", [-9.0, -4.3, -3.2, -3.0, 0.0, 4.7])
def test_losses_and_gradients_are_finite_at_and_beyond_the_ends_of_the_range(z: float) -> None:
    x0, noise = draw(8, dtype=torch.float32)
    weight = torch.ones((), requires_grad=True)
    td = TDSettings(span=3, stride=0.2).resolved(FORMULATION)
    noise = noise._replace(time=torch.full_like(noise.time, z))
    scaled = lambda x, s, _: weight * denoiser(x, s, None)  # noqa: E731
    losses = td.losses(scaled, target, FORMULATION, x0, UNCONDITIONAL, noise)
    losses.total.mean().backward()
    assert losses.total.isfinite().all() and weight.grad is not None and weight.grad.isfinite()


def test_valid_range_is_the_papers() -> None:
    index = torch.tensor([-0.1, 0.0, 15.74, 15.76, 17.0, 17.1], dtype=F64).view(-1, 1, 1, 1)
    valid = FORMULATION.pair_times(FORMULATION.grid.time(index), 1, 0.25).valid.flatten().tolist()
    assert valid == [False, True, True, False, False, False]


def test_a_td_run_sees_the_very_points_of_its_baseline() -> None:
    x0, noise = draw()
    base = Baseline().losses(denoiser, None, FORMULATION, x0, UNCONDITIONAL, noise)
    for coupling in ("markov", "shared"):
        td = TDSettings(coupling=coupling).resolved(FORMULATION)
        losses = td.losses(denoiser, target, FORMULATION, x0, UNCONDITIONAL, noise)
        torch.testing.assert_close(losses.base, base.total, rtol=1e-9, atol=0)


def test_pairwise_weight_bounds_the_loss_by_the_networks_errors() -> None:
    """With errors of D that are c_out e: w ||delta||^2 <= ||e||^2 + ||e'||^2 (Cauchy-Schwarz)."""
    source = torch.Generator().manual_seed(3)
    a, a_prime, c, c_prime = (torch.rand(100, 1, 1, 1, generator=source, dtype=F64) * 5 for _ in range(4))
    e, e_prime = (torch.randn(100, 1, 4, 4, generator=source, dtype=F64) for _ in range(2))
    delta = residual(a, c * e, a_prime, c_prime * e_prime)
    weighted = per_image_mean(pairwise_weight(a, c, a_prime, c_prime) * delta**2)
    assert (weighted <= per_image_mean(e**2) + per_image_mean(e_prime**2) + 1e-12).all()


def test_weights_by_hand() -> None:
    a, a_prime, t, t_prime = (torch.tensor(v, dtype=F64).view(1, 1, 1, 1) for v in (0.5, 0.25, 0.5, 0.1))
    c2, c2_prime = 0.5**4 / 0.5, 0.1**2 * 0.25 / 0.26  # sigma^2 sigma_data^2 / (sigma^2 + sigma_data^2)
    weights = {name: FORMULATION.pair_weight(name, a, t, a_prime, t_prime).item() for name in FORMULATION.weights}
    pairwise = 1 / (0.25 * c2 + 0.0625 * c2_prime)
    assert weights == pytest.approx({"pairwise": pairwise, "source": 1 / (0.25 * c2), "constant": 1})
    assert FORMULATION.pair_weight("source", a * 0, t, a_prime, t_prime).item() == pytest.approx(1e8)
    assert CT().pair_weight("pairwise", a, t, a_prime, t_prime).item() == pytest.approx(1 / 0.3125)
    assert CT().pair_weight("linear", a, t, a_prime, t_prime).item() == pytest.approx(1 / 0.75)
    assert CT().pair_weight("linear", a * 0, t, a_prime * 0, t_prime).item() == pytest.approx(100)


@pytest.mark.parametrize(("coupling", "biased"), [("markov", False), ("shared", True)])
def test_fixed_point(coupling: str, biased: bool) -> None:
    """With the exact posterior mean of Gaussian data, E[delta x_t] is zero under markov, biased under shared noise."""
    n, s, sigma, sigma_prime = 400_000, 0.5, 2.0, 1.2
    source = torch.Generator().manual_seed(0)
    x0, n1, n2 = (torch.randn(n, 1, 1, 1, generator=source, dtype=F64) for _ in range(3))
    x0 = s * x0
    t, t_prime = (FORMULATION.level(torch.tensor(v, dtype=F64).view(1, 1, 1, 1)) for v in (sigma, sigma_prime))
    x_t, x_prime = couple(coupling, x0, t, t_prime, n1, n2)
    error = x0 - s**2 / (s**2 + sigma**2) * x_t
    error_prime = x0 - s**2 / (s**2 + sigma_prime**2) * x_prime
    # The slope of E[error' | x_t] in x_t, with its standard error.
    slope = (error_prime * x_t).mean() / (x_t**2).mean()
    noise = (error_prime * x_t).std() / (x_t**2).mean() / n**0.5
    stated = s**2 / (s**2 + sigma**2) * (1 - (s**2 + sigma * sigma_prime) / (s**2 + sigma_prime**2)) if biased else 0.0
    assert abs(slope - stated) < 4 * noise
    assert (abs(slope) > 20 * noise) == biased
    assert abs((error * x_t).mean() / (x_t**2).mean()) < 4 * noise


def test_target_gets_no_gradient() -> None:
    x0, noise = draw(8)
    weight = torch.ones((), dtype=F64, requires_grad=True)

    def followed(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        return weight * target(x, sigma, condition)

    losses = TDSettings().resolved(FORMULATION).losses(denoiser, followed, FORMULATION, x0, UNCONDITIONAL, noise)
    assert not losses.total.requires_grad


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("edm", {"span": 1, "stride": 1.5}, r"stride 1.5 \(Delta\) must be below span 1 \(k\)"),
        ("vp", {"stride": 1}, r"stride 1 \(Delta\) must be below span 1 \(k\): in the continuous time of vp"),
        ("ve", {"span": 0.25}, r"stride 0.25 \(Delta\) must be below span 0.25 \(k\)"),
        ("ct", {"stride": 1}, r"must be below span 1 \(k\): in the continuous time of ct"),
        ("ddpm", {"stride": 2}, r"stride 2 \(Delta\) must not exceed span 1 \(k\)"),
        ("edm", {"span": 17}, "must be at most 17"),
        ("edm", {"weight": "linear"}, "weight 'linear': edm has pairwise, source, constant"),
        ("edm", {"target": {"kind": "own"}}, "target 'own': edm takes ema, hard or online"),
        ("ddpm", {"stride": 0.5}, "must be whole numbers: ddpm has discrete steps"),
        ("vp", {"preset": "release"}, "preset 'release': vp has paper only"),
        ("ct", {"coupling": "markov"}, "coupling 'markov': ct has shared"),
        ("ct", {"span": 2}, "span 2: ct compares neighbours, its span is 1"),
        ("ct", {"target": {"kind": "online"}}, "target 'online': ct takes own, the one it has"),
    ],
)
def test_settings_that_a_formulation_does_not_have(kind: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TDSettings.model_validate(settings).resolved(FORMULATIONS[kind]())


@pytest.mark.parametrize("kind", FORMULATIONS)
def test_every_preset_keeps_the_order_of_times(kind: str) -> None:
    """tau' < t' < tau < t in continuous time; tau = t' is a whole index's alone."""
    formulation = FORMULATIONS[kind]()
    for preset in formulation.td_presets:
        settings = TDSettings(preset=preset).resolved(formulation)
        t = formulation.grid.time(torch.full((1, 1, 1, 1), 2.0, dtype=F64))
        times = formulation.pair_times(t, settings.span, settings.stride)
        order = [formulation.grid.index(time).item() for time in (t, times.tau, times.t_prime, times.tau_prime)]
        assert order == sorted(order) and (len(set(order)) == 4 or (formulation.whole_indices and len(set(order)) == 3))


def test_whole_indices_may_have_a_stride_as_long_as_the_span() -> None:
    settings = TDSettings(span=3, stride=3).resolved(FORMULATIONS["ddim"]())
    assert (settings.span, settings.stride) == (3, 3)


class WithMapping(EDM):
    """As a user's formulation may have its preset: with the keys of an experiment."""

    td_presets: ClassVar = {
        "paper": {"weight": "pairwise", "lambda": 0.5, "span": 1.0, "stride": 0.25, "coupling": "markov",
                  "posterior": "ancestral", "target": {"kind": "hard", "period": 7}},
    }  # fmt: skip


def test_a_preset_may_be_a_mapping_with_a_target_of_its_own() -> None:
    td = TDSettings().resolved(WithMapping())
    assert (td.lambda_, td.stride, td.target.kind) == (0.5, 0.25, "hard")
    assert TDSettings(target=TargetEMA()).resolved(WithMapping()).target == TargetEMA()


def test_a_preset_that_lacks_a_setting_is_refused_by_name() -> None:
    class Incomplete(EDM):
        td_presets: ClassVar = {"paper": {"weight": "pairwise", "delta": 1.0}}

    words = "preset 'paper' of formulation 'edm': unknown: delta; missing: coupling, lambda_, posterior, span, stride"
    with pytest.raises(ValueError, match=words):
        TDSettings().resolved(Incomplete())


class Scaled(TD):
    kind: Literal["scaled"] = "scaled"
    factor: float = 1.0

    def losses(self, *given: Any) -> Losses:
        found = super().losses(*given)
        return found._replace(total=self.factor * found.total)


class ScaledSettings(TDSettings):
    kind: Literal["scaled"] = "scaled"
    computed_as: ClassVar[type[TD]] = Scaled
    factor: float = 1.0


def test_an_objective_that_extends_the_temporal_difference_keeps_its_settings_and_losses() -> None:
    x0, noise = draw()
    given = (denoiser, target, FORMULATION, x0, UNCONDITIONAL, noise)
    scaled = ScaledSettings(factor=3.0, span=2).resolved(FORMULATION)
    assert (scaled.kind, scaled.span) == ("scaled", 2)
    torch.testing.assert_close(
        scaled.losses(*given).total, 3 * TDSettings(span=2).resolved(FORMULATION).losses(*given).total
    )


def test_an_objective_whose_losses_would_never_be_called_is_refused() -> None:
    class Forgotten(TDSettings):
        kind: Literal["forgotten"] = "forgotten"

    with pytest.raises(ValueError, match=r"objective 'forgotten': Forgotten extends TDSettings.*computed_as"):
        Forgotten().resolved(FORMULATION)
