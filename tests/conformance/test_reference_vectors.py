"""`tdbench verify` on the numbers that the objective's released code gave for fixed inputs."""

from pathlib import Path

import numpy as np
import pytest

from tdbench.cli import main

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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"2/x0": None}, "2/x0: is missing"),
        ({"0/kwargs": np.array("__import__('os').getcwd()")}, '0/kwargs: "__import__'),
        ({"0/kwargs": np.array("{'k_index': 1.0}")}, "unknown settings ['k_index']"),
        ({"0/kwargs": np.array("{'k_idx': 0.1}")}, "must not exceed span"),
        ({"0/draw1": np.zeros((5, 3, 4, 4))}, "0/draw1: float64 (5, 3, 4, 4); expected float64 (6, 3, 4, 4)"),
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
