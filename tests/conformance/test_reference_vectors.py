"""`tdbench verify` on the numbers that the objective's released code gave for fixed inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tdbench.cli.main import main
from tdbench.diffusion.grid import KarrasGrid

VECTORS = Path(__file__).parent / "td_edm_public.npz"
CONSISTENCY = VECTORS.with_name("td_ct_public.npz")


def verify(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["tdbench", "verify", str(path)])
    with pytest.raises(SystemExit) as exit_:
        main()
    return int(exit_.value.code or 0)


def altered(tmp_path: Path, **changes: object) -> Path:
    content = dict(np.load(VECTORS)) | changes
    np.savez(tmp_path / "altered.npz", **{k: v for k, v in content.items() if v is not None})
    return tmp_path / "altered.npz"


def test_every_case_to_1e_10(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(VECTORS, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    cases = {key.split("/")[0] for key in np.load(VECTORS).files}
    assert len(lines) == len(cases) == 4
    for line in lines:
        assert line.startswith("ok") and all(
            word in line for word in ("td_coupling=", "expected", "got", "relative error")
        )
        assert float(line.rsplit(" ", 1)[1]) < 1e-10


def test_consistency_training_to_1e_10(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(CONSISTENCY, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 3 and all(line.startswith("ok") for line in lines)
    assert max(float(line.rsplit(" ", 1)[1]) for line in lines) < 1e-10


def by_hand(lambda_: float, share: float) -> dict[str, np.ndarray]:
    """A case of TD + CT in numpy alone: images at three indices of a grid of 18, the last one without a pair.

    ``share`` is what the formulation's own loss is multiplied by where there is no pair.
    """
    n, stride, indices = 18, 0.25, np.array([3, 11, 16])
    source = np.random.default_rng(5)
    x0, noise = source.standard_normal((2, 3, 2, 4, 4))

    def sigma(index: np.ndarray) -> np.ndarray:
        top, bottom = 80.0 ** (1 / 7), 0.002 ** (1 / 7)
        return ((top + index / (n - 1) * (bottom - top)) ** 7).reshape(-1, 1, 1, 1)

    def single(index: np.ndarray) -> np.ndarray:
        """The noise levels of tau and tau', in float32 by torch: numpy's power may round otherwise."""
        return KarrasGrid().time(torch.from_numpy(index).float()).double().numpy().reshape(-1, 1, 1, 1)

    def denoised(x: np.ndarray, s: np.ndarray, a: float, b: float) -> np.ndarray:
        raw = a * x / np.sqrt(s**2 + 0.25) + b * np.tanh(250 * np.log(s + 1e-44) / 1000)
        return 0.25 / ((s - 0.002) ** 2 + 0.25) * x + (s - 0.002) * 0.5 / np.sqrt(s**2 + 0.25) * raw

    t, t_prime = sigma(indices), sigma(indices + 1)
    error = x0 - denoised(x0 + t * noise, t, 0.7, 0.1)
    error_prime = x0 - denoised(x0 + t_prime * noise, t_prime, 0.6, -0.05)
    a = 1 - (single(indices + stride) / t) ** 2
    a_prime = 1 - (single(indices + 1 + stride) / t_prime) ** 2
    weight = 1 / np.maximum(a**2 + a_prime**2, 0.01)
    valid = indices < n - 2
    base = ((error - error_prime) ** 2).mean((1, 2, 3))
    td = np.where(valid, (weight * (a * error - a_prime * error_prime) ** 2).mean((1, 2, 3)), 0)
    return {
        "0/x0": x0,
        "0/noise": noise,
        "0/indices": indices,
        "0/loss_ct": base,
        "0/loss_td": td,
        "0/loss": np.where(valid, td + lambda_ * base, share * base),
        "0/kwargs": np.array(repr({"lambda_td": lambda_, "one_idx": stride, "weight_td": True})),
    }


@pytest.mark.parametrize(("share", "code"), [(float(np.float32(1.1)), 0), (1.1, 1)])
def test_an_image_without_a_pair_has_its_share_rounded_as_the_release_rounds_it(
    share: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "by_hand.npz", **by_hand(0.1, share))
    assert verify(tmp_path / "by_hand.npz", monkeypatch) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["MISS" if code else "ok  ", "ok  ", "ok  "]
    assert all("valid pairs 2 of 3" in line for line in lines)
    if code:
        assert 1e-8 < float(lines[0].rsplit(" ", 1)[1]) < 3e-8


def test_vectors_of_a_distance_with_a_network_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "lpips.npz", **by_hand(0.5, 1.5) | {"0/kwargs": np.array("{'loss_norm': 'lpips'}")})
    assert verify(tmp_path / "lpips.npz", monkeypatch) == 2
    assert "0/kwargs: loss_norm 'lpips': has a network in single precision" in capsys.readouterr().err


def test_a_miss_in_one_image_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = dict(np.load(CONSISTENCY))
    content["0/loss_td"][3 if content["0/loss_td"][3] else 1] *= 1 + 1e-9
    np.savez(tmp_path / "altered.npz", **content)
    assert verify(tmp_path / "altered.npz", monkeypatch) == 1
    assert [line[:4] for line in capsys.readouterr().out.splitlines()].count("MISS") == 1


def test_consistency_vectors_with_an_index_off_the_grid_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = dict(np.load(CONSISTENCY)) | {"1/indices": np.full(8, 17)}
    np.savez(tmp_path / "altered.npz", **content)
    assert verify(tmp_path / "altered.npz", monkeypatch) == 2
    assert "1/indices: expected (8,) whole numbers in 0..16" in capsys.readouterr().err


def test_a_miss_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = np.load(VECTORS)["1/loss"] * (1 + 1e-9)
    assert verify(altered(tmp_path, **{"1/loss": wrong}), monkeypatch) == 1
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["ok  ", "MISS", "ok  ", "ok  "]


def test_settings_are_taken_and_shown_as_the_release_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The release takes None for the default and 1 for True. A line shows the settings in a fixed order."""
    kwargs = np.array(repr({"lambda_td": 0.5, "rho": 7, "one_idx": 0.25, "weight_td": 1, "sigma_min": None}))
    np.savez(tmp_path / "by_hand.npz", **by_hand(0.5, 1.5) | {"0/kwargs": kwargs})
    assert verify(tmp_path / "by_hand.npz", monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(": weight_td=True one_idx=0.25 rho=7 lambda_td=0.5 (valid" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"2/x0": None}, "2/x0: is missing"),
        ({"0/kwargs": np.array("__import__('os').getcwd()")}, '0/kwargs: "__import__'),
        ({"0/kwargs": np.array("{'k_index': 1.0}")}, "unknown settings ['k_index']"),
        ({"0/kwargs": np.array("{'k_idx': 0.1}")}, "must be below span"),
        ({"0/draw1": np.zeros((5, 3, 4, 4))}, "0/draw1: float64 (5, 3, 4, 4); expected float64 (6, 3, 4, 4)"),
        ({"0/kwargs": np.array("{'lambda_edm': 'much'}")}, "0/kwargs: ('lambda_edm',): 'much': Input should be"),
        ({"3/loss": np.zeros(6)}, "3/loss: float64 (6,); expected float64 ()"),
    ],
)
def test_a_malformed_file_exits_with_2(
    changes: dict[str, object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert verify(altered(tmp_path, **changes), monkeypatch) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
