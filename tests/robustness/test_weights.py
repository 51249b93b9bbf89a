"""Damaged and forged weights: snapshots and checkpoints in safetensors, weights of others in torch's format."""

import hashlib
import io
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from safetensors.torch import save
from torch import nn

from tdbench.errors import TdbenchError
from tdbench.records.weights import load_snapshot, read_weights
from tdbench.training.checkpoint import find_checkpoint
from tests.robustness.damage import bad_json, damaged
from tests.robustness.tally import inputs, judge

FACTS = {"settings": {"seed": 0}, "data": "a" * 64, "step": 3, "snapshots": [], "line": {}, "parts": []}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))


CONTENT = save({k: v.contiguous() for k, v in network().state_dict().items()}, {"tdbench": json.dumps(FACTS)})


def split(content: bytes) -> tuple[Any, bytes]:
    """Head and numbers of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(head: bytes, numbers: bytes) -> bytes:
    return struct.pack("<Q", len(head)) + head + numbers


@pytest.mark.slow
def test_bytes_of_a_snapshot(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "000000064.safetensors"

    @inputs(500)
    @given(damaged(CONTENT))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("snapshot, bytes", path, lambda: load_snapshot(path, network()))

    check()


@pytest.mark.slow
def test_heads_of_snapshots(tmp_path: Path, little_memory: None) -> None:
    path, (head, numbers) = tmp_path / "000000064.safetensors", split(CONTENT)

    @inputs(500)
    @given(bad_json(head))
    def check(forged: bytes) -> None:
        path.write_bytes(joined(forged, numbers))
        judge("snapshot, head", path, lambda: load_snapshot(path, network()))

    check()


@pytest.mark.slow
def test_checkpoints_of_the_right_name(tmp_path: Path, little_memory: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint is named by its SHA-256; a forger can compute that."""

    @inputs(400)
    @given(bad_json(FACTS))
    def check(facts: bytes) -> None:
        tensors = {k: v.contiguous() for k, v in network().state_dict().items()}
        content = save(tensors, {"tdbench": facts.decode("latin1")})
        path = tmp_path / f"{64:012d}-{hashlib.sha256(content).hexdigest()}.safetensors"
        path.write_bytes(content)

        def read() -> None:
            wanted = {key: FACTS[key] for key in ("settings", "data")}
            if find_checkpoint(tmp_path, wanted, lambda _: None) is None:
                # It is passed over, and the one before it is looked for.
                raise TdbenchError(capsys.readouterr().err.strip())

        judge("checkpoint", path, read)
        path.unlink()

    check()


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_bytes_of_weights_in_torchs_format(zipped: bool, tmp_path: Path, little_memory: None) -> None:
    path, content = tmp_path / "weights.pth", io.BytesIO()
    torch.save(network().state_dict(), content, _use_new_zipfile_serialization=zipped)

    @inputs(350)
    @given(damaged(content.getvalue()))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("weights, torch's format", path, lambda: read_weights(path, network(), "give another"))

    check()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (struct.pack("<Q", 2**63) + b"{}", "damaged snapshot"),
        (struct.pack("<Q", 2**40) + b"{}", "damaged snapshot"),
        (
            joined(b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}', b""),
            "damaged",
        ),
        (
            joined(b'{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}}', b"\0" * 4),
            "damaged",
        ),
        (b"", "damaged snapshot"),
    ],
)
def test_a_head_that_asks_for_terabytes(content: bytes, words: str, tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "000000064.safetensors"
    path.write_bytes(content)
    with pytest.raises(TdbenchError, match=words):
        load_snapshot(path, network())


class Evil:
    def __init__(self, victim: Path) -> None:
        self.victim = str(victim)

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (self.victim,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_code_in_weights_is_not_run(zipped: bool, suffix: str, tmp_path: Path) -> None:
    path, victim = tmp_path / f"weights{suffix}", tmp_path / "victim"
    torch.save({"0.weight": Evil(victim)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(TdbenchError, match="no readable weights"):
        read_weights(path, network(), "give another")
    path.write_bytes(pickle.dumps(Evil(victim)))
    with pytest.raises(TdbenchError, match="no readable weights"):
        read_weights(path, network(), "give another")
    assert not victim.exists()
