"""Networks by name: their sizes, what they are fed with, and what the paper's ones need to compute the same always."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tdbench.diffusion.formulations import VP
from tdbench.errors import TdbenchError
from tdbench.networks import (
    NETWORKS,
    NOMINAL,
    NetworkSettings,
    build_network,
    count_parameters,
    forward_flops,
    nominal_parameters,
)
from tdbench.networks.base import Inputs
from tdbench.networks.paper import PAPER, PaperNetwork, _driver_warning_dropped
from tdbench.networks.unet import UNETS
from tdbench.records.weights import load_snapshot, save_snapshot
from tdbench.training.ema import AveragedNetwork
from tdbench.workflow.budget import FORWARD_AND_BACKWARD

CLASSES, AUGMENT = 10, 9
WIDTHS = {"ddpmpp": 32, "ncsnpp": 32, "adm": 64}
"""Narrow enough to be fast; ADM's attention needs 64."""


def small(name: str, dropout: float = 0.0, seed: int = 0) -> nn.Module:
    """A network for 8x8 RGB images of ten classes with augmentation, made narrow and shallow where it is large.

    The initial weights of the last layer of each block are zero or nearly so, and the output with them; here all
    weights are moved, so that every layer counts.
    """
    inputs = Inputs(3, 8, CLASSES, AUGMENT, 1000.0)
    spec = NETWORKS[name]
    if name in PAPER:
        fewer = {"model_channels": WIDTHS[name], "num_blocks": 1}
        spec = dataclasses.replace(PAPER[name], arguments=dict(PAPER[name].arguments) | fewer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = spec.build(name, inputs, dropout)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def fed(count: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, c_noise, labels and augmentation labels."""
    source = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, 8, 8, generator=source)
    labels = torch.eye(CLASSES)[torch.arange(count)]
    return x, torch.linspace(-1.5, 1, count), labels, torch.randn(count, AUGMENT, generator=source)


def distance(one: Tensor, other: Tensor) -> float:
    """Relative, root mean square."""
    return float((one - other).norm() / other.norm())


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    """One of each kind, in evaluation mode."""
    return {name: small(name).eval() for name in ("unet-tiny", *PAPER)}


EACH = pytest.mark.parametrize("name", ["unet-tiny", *PAPER])
OF_PAPERS = pytest.mark.parametrize("name", list(PAPER))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resolution"),
    # 48: estimated from the size whose recipe it shares, which for DDPM++ and NCSN++ is that of 64.
    [(name, r) for name, n in NETWORKS.items() for r in n.gflops] + [("ddpmpp", 48), ("unet-base", 48)],
)
def test_the_counts_to_plan_with_are_true(name: str, resolution: int) -> None:
    assert NOMINAL[name][0] in NETWORKS[name].gflops and set(NETWORKS[name].gflops) == set(NETWORKS[name].parameters)
    exact = resolution in NETWORKS[name].gflops
    channels = NOMINAL[name][1]
    with torch.device("meta"):
        network = NETWORKS[name].build(name, Inputs(channels, resolution), 0.0)
    images, noise = torch.empty(1, channels, resolution, resolution, device="meta"), torch.empty(1, device="meta")
    with FlopCounterMode(display=False) as counted:
        estimate = network(images, noise)
    forward = counted.get_total_flops()
    assert forward_flops(name, resolution) == pytest.approx(forward, rel=5e-3 if exact else 0.1)
    parameters = count_parameters(network)
    assert nominal_parameters(name, resolution) == (parameters if exact else pytest.approx(parameters, rel=0.05))
    with FlopCounterMode(display=False) as counted:
        estimate.sum().backward()
    assert 1 + counted.get_total_flops() / forward == pytest.approx(FORWARD_AND_BACKWARD, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resolution", "classes", "millions"),
    [
        # DDPM++: Karras et al. 2022, appendix F; DDPM: Ho et al. 2020, appendix B; ADM: Dhariwal and Nichol 2021.
        ("ddpmpp", 32, 0, 55.7),
        ("ddpmpp", 64, 0, 61.8),
        ("adm", 64, 1000, 295.9),
        ("unet-base", 32, 0, 35.7),
    ],
)
def test_sizes_are_the_published_ones(name: str, resolution: int, classes: int, millions: float) -> None:
    with torch.device("meta"):
        network = NETWORKS[name].build(name, Inputs(3, resolution, classes), 0.0)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, abs=0.06)


def test_the_consistency_models_unet_has_four_heads_at_every_level_and_begins_as_zero() -> None:
    """Attention as four heads of softmax(q k / sqrt(width)) v, written out, beside the library's."""
    torch.manual_seed(0)
    narrow = dataclasses.replace(UNETS["cm-unet"], channels=(32, 64), attention=(8,), norm_groups=8)
    network = narrow.build("cm-unet", Inputs(3, 8), 0.0)
    x, c_noise, *_ = fed()
    assert not network(x, c_noise).any()
    found = [module for module in network.modules() if type(module).__name__ == "Attention"]
    assert {(module.heads, module.inner_dim) for module in found} == {(4, 32), (4, 64)}
    for layer in found[:1]:
        layer.residual_connection = False
        torch.nn.init.normal_(layer.to_out[0].weight)
        width, features = layer.inner_dim // 4, torch.randn(2, layer.inner_dim, 4, 4)
        inside = layer.group_norm(features.flatten(2)).transpose(1, 2)
        q, k, v = (f(inside).unflatten(-1, (4, width)).transpose(1, 2) for f in (layer.to_q, layer.to_k, layer.to_v))
        mixed = (q @ k.transpose(-1, -2) / width**0.5).softmax(-1) @ v
        expected = layer.to_out[0](mixed.transpose(1, 2).flatten(2)).transpose(1, 2).reshape(features.shape)
        torch.testing.assert_close(layer(features), expected)
        assert width**-0.5 == layer.scale


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kind": "unet"}, "no such network.*; known: unet-tiny, .*ddpmpp"),
        ({"kind": ["adm"]}, "no such network"),
        ({"kind": "adm", "dropout": 1.0}, "less than 1"),
        ({"kind": "adm", "dropout": -0.1}, "greater than or equal to 0"),
        ({"kind": "adm", "dropout": float("nan")}, "dropout"),
        ({"kind": "adm", "channels": 3}, "channels"),
        ({"dropout": 0.1}, "kind"),
    ],
)
def test_bad_settings_are_refused(content: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        NetworkSettings.model_validate(content)


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("unet-tiny", 7, "unet-tiny: images of 7x7 do not fit its 2 levels; .* are 6 and 8"),
        ("unet-base", 36, "unet-base: images of 36x36 do not fit its 4 levels; .* are 32 and 40"),
        ("ddpmpp", 30, "ddpmpp: images of 30x30 do not fit its 3 levels; .* are 28 and 32"),
        ("ddpmpp", 60, "ddpmpp: images of 60x60 do not fit its 4 levels; .* are 56 and 64"),
    ],
)
def test_a_network_that_does_not_fit_the_images_says_so(name: str, size: int, said: str) -> None:
    with pytest.raises(TdbenchError, match=said):
        build_network(NetworkSettings(kind=name), 3, size, 0, 0, 1.0, seed=0)


def test_the_seed_gives_the_weights_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    built = [build_network(NetworkSettings(kind="unet-tiny"), 1, 8, 10, 0, 1000.0, seed=s) for s in (3, 3, 4)]
    assert torch.equal(before, torch.get_rng_state())
    one, two, other = (torch.cat([p.flatten() for p in network.parameters()]) for network in built)
    assert torch.equal(one, two) and not torch.equal(one, other)


@EACH
@torch.no_grad()
def test_class_noise_and_augmentation_each_change_the_output(name: str, networks: dict[str, nn.Module]) -> None:
    network, (x, c_noise, labels, augmented) = networks[name], fed()
    plain = network(x, c_noise, labels)
    assert plain.shape == x.shape and plain.isfinite().all()
    assert distance(network(x, c_noise, labels.roll(1, 1)), plain) > 1e-3
    assert distance(network(x, c_noise + 0.5, labels), plain) > 1e-3
    assert distance(network(x, c_noise, labels, augmented), plain) > 1e-3
    # No augmentation labels: nothing was done to the image.
    torch.testing.assert_close(network(x, c_noise, labels, torch.zeros_like(augmented)), plain)


@EACH
def test_labels_that_do_not_fit_are_refused(name: str, networks: dict[str, nn.Module]) -> None:
    x, c_noise, labels, augmented = fed()
    with pytest.raises(ValueError, match="needs labels"):
        networks[name](x, c_noise, None)
    plain = build_network(NetworkSettings(kind="unet-tiny"), 3, 8, CLASSES, 0, 1000.0, seed=0)
    with pytest.raises(ValueError, match="takes no augmentation labels"):
        plain(x, c_noise, labels, augmented)


@torch.no_grad()
def test_an_unconditional_network_may_be_augmented() -> None:
    network = build_network(NetworkSettings(kind="unet-small"), 3, 8, 0, AUGMENT, 1000.0, seed=0).eval()
    x, c_noise, _, augmented = fed()
    plain = network(x, c_noise)
    torch.testing.assert_close(network(x, c_noise, None, torch.zeros_like(augmented)), plain)
    assert distance(network(x, c_noise, None, augmented), plain) > 1e-4


@torch.no_grad()
def test_the_embedding_scale_is_a_factor_of_c_noise() -> None:
    x, c_noise, labels, _ = fed()
    thousand, one = (
        build_network(NetworkSettings(kind="unet-tiny"), 3, 8, CLASSES, 0, scale, seed=0).eval()
        for scale in (1000.0, 1.0)
    )
    torch.testing.assert_close(thousand(x, c_noise, labels), one(x, 1000 * c_noise, labels))
    assert distance(one(x, c_noise, labels), thousand(x, c_noise, labels)) > 1e-3


@EACH
@torch.no_grad()
def test_dropout_acts_in_training_only(name: str, networks: dict[str, nn.Module]) -> None:
    """And without dropout both modes agree: the network that is sampled is the one that was trained."""
    network, (x, c_noise, labels, augmented) = networks[name], fed()
    sampled = network(x, c_noise, labels, augmented)
    trained = network.train()(x, c_noise, labels, augmented)
    network.eval()
    assert torch.equal(trained, sampled)
    dropping = small(name, dropout=0.3)
    assert torch.equal(dropping.eval()(x, c_noise, labels, augmented), sampled)
    one, two = (dropping.train()(x, c_noise, labels, augmented) for _ in range(2))
    assert distance(one, sampled) > 1e-2 and distance(one, two) > 1e-2


@OF_PAPERS
@torch.no_grad()
def test_the_library_s_own_evaluation_mode_would_differ(name: str, networks: dict[str, nn.Module]) -> None:
    """Why the group normalization is kept as in training; when this fails, PaperNetwork.train can go."""
    network, (x, c_noise, labels, augmented) = networks[name], fed()
    ours = network(x, c_noise, labels, augmented)
    network.network.eval()
    theirs = network.network(x, c_noise, labels, augmented)
    network.eval()
    assert distance(theirs, ours) > 1e-3


@EACH
@torch.no_grad()
def test_float64_and_autocast_give_nearly_the_same(name: str, networks: dict[str, nn.Module]) -> None:
    network, given = networks[name], fed()
    single = network(*given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        brief = network(*given)
    assert 1e-5 < distance(brief.float(), single) < 0.1
    double = small(name).eval().double()(*(t.double() for t in given))
    assert double.dtype == torch.float64 and 1e-9 < distance(single.double(), double) < 1e-4


@OF_PAPERS
def test_autocast_trains(name: str) -> None:
    network, given = small(name, dropout=0.1), fed()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(*given).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@OF_PAPERS
@torch.no_grad()
def test_averages_and_snapshots_hold_all_that_the_output_depends_on(
    name: str, networks: dict[str, nn.Module], tmp_path: Path
) -> None:
    """NCSN++ draws the frequencies of its noise embedding once: they are no weights, and belong to the snapshot."""
    given, expected = fed(), networks[name](*fed())
    average = AveragedNetwork(networks[name])
    average.update(0.5)
    save_snapshot(tmp_path / "a.safetensors", average.network, {})
    other = build_network(NetworkSettings(kind="unet-tiny"), 3, 8, CLASSES, AUGMENT, 1000.0, seed=1)
    with pytest.raises(TdbenchError, match="holds weights of another architecture"):
        load_snapshot(tmp_path / "a.safetensors", other)
    loaded = small(name, seed=1).eval()
    assert distance(loaded(*given), expected) > 1e-2
    load_snapshot(tmp_path / "a.safetensors", loaded)
    torch.testing.assert_close(loaded(*given), expected)


def test_ddpmpp_as_published() -> None:
    """Karras et al. 2022, DDPM++ on CIFAR-10, class-conditional and augmented: built and run once."""
    network = build_network(NetworkSettings(kind="ddpmpp", dropout=0.13), 3, 32, CLASSES, AUGMENT, 1.0, seed=0)
    assert isinstance(network, PaperNetwork)
    with torch.no_grad():
        result = network.eval()(torch.randn(1, 3, 32, 32), torch.zeros(1), torch.eye(CLASSES)[:1])
    assert result.shape == (1, 3, 32, 32) and 0 < result.abs().max() < 1
    attending = {key for key, block in network.network.enc.items() if getattr(block, "attention", False)}
    assert attending == {f"16x16_block{k}" for k in range(4)}


def test_without_the_extra_one_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "physicsnemo"] + ["physicsnemo"]:
        monkeypatch.setitem(sys.modules, name, None)
    said = r"network adm: NVIDIA PhysicsNeMo .*make install.*tdbench\[paper-networks\]"
    with pytest.raises(TdbenchError, match=said):
        build_network(NetworkSettings(kind="adm"), 3, 64, 0, 0, 1.0, seed=0)
    assert count_parameters(build_network(NetworkSettings(kind="unet-tiny"), 1, 8, 0, 0, 1000.0, seed=0))


@pytest.mark.slow
def test_the_library_is_imported_late_and_silently() -> None:
    program = """
import sys, torch
from tdbench.networks import NetworkSettings, build_network
assert not {"physicsnemo", "warp", "diffusers"} & set(sys.modules)
with torch.device("meta"):
    build_network(NetworkSettings(kind="ddpmpp"), 3, 32, 0, 0, 1.0, seed=0)
assert "physicsnemo" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_only_the_driver_warning_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with _driver_warning_dropped():
        os.write(2, b"Warp CUDA warning: Could not find or load the NVIDIA CUDA driver.\n")
        print("something else", file=sys.stderr)
        os.write(2, b"a third\n")
    os.write(2, b"after\n")
    assert sorted(capfd.readouterr().err.splitlines()) == ["a third", "after", "something else"]


@pytest.mark.slow
def test_vp_against_physicsnemo() -> None:
    """Its coefficients for images divided by alpha, at sigma / alpha (Karras et al. 2022, table 1).

    Here, since importing the library takes ten seconds.
    """
    from physicsnemo.diffusion.preconditioners import VPPreconditioner

    formulation = VP()
    t = torch.tensor([1e-3, 0.1, 0.5, 1.0], dtype=torch.float64).view(-1, 1, 1, 1)
    level, p = formulation.level(t), formulation.preconditioning()
    library = SimpleNamespace(beta_d=19.9, beta_min=0.1, M=1000)
    c_in, c_noise, c_out, c_skip = VPPreconditioner.compute_coefficients(library, level.sigma / level.alpha)
    torch.testing.assert_close(p.c_in(t), c_in / level.alpha)
    torch.testing.assert_close(p.c_noise(t), c_noise)
    torch.testing.assert_close(p.c_out(t), c_out)
    torch.testing.assert_close(p.c_skip(t), c_skip / level.alpha)
