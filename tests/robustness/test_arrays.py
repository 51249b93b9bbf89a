"""Damaged and forged npz files: sample sets, reference features, reference vectors."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from tdbench.diffusion.verification import verify_file
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import ReferenceFeatures, Statistics, load_reference, read_facts, save_reference
from tdbench.records.schema import Reference
from tdbench.records.stored import read_samples
from tdbench.runtime.arrays import read_arrays
from tdbench.runtime.provenance import provenance
from tests.robustness.damage import bad_json, damaged
from tests.robustness.tally import inputs, judge

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(12, 3))
FACTS = {
    "library": "clean-fid",
    "library_version": "0.1.35",
    "features": "classifier",
    "weights": "a" * 64,
    "n": 12,
    "resize": "native",
    "data": "b" * 64,
    "extracted_by": "clean-fid",
    "batch_size": 4,
    "provenance": provenance().to_json(),
}


def saved(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@pytest.mark.slow
def test_bytes_of_a_sample_set(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "steps-004.npz"

    @inputs(500)
    @given(damaged(saved(arr_0=np.zeros((4, 8, 8, 1), np.uint8), arr_1=np.arange(4))))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("samples, bytes", path, lambda: read_samples(path))

    check()


def forged(shape: str, kind: str, body: int) -> bytes:
    """An npz whose array has a head that somebody wrote by hand."""
    head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("arr_0.npy", npy.magic(1, 0) + len(head).to_bytes(2, "little") + head + bytes(body))
    return content.getvalue()


SHAPES = [
    "(4, 8, 8, 1)",
    "(1000000000000,)",
    "(9223372036854775807, 8, 8, 1)",
    "(-4, 8, 8, 1)",
    "(-4, -8, 8, 1)",
    "()",
    "(0, 8, 8, 1)",
    "(4, 8, 8, 1" + ", 1" * 40 + ")",
    "(4.0, 8, 8, 1)",
    "(True, 8, 8, 1)",
    "4",
    "None",
    "(10**12,)",
    "(" * 300,
    "__import__('os')",
]
KINDS = [
    "'|u1'",
    "'|O'",
    "'<f8'",
    "'|V1000000000'",
    "'<U100000000'",
    "[('a', '|O')]",
    "[('a', '<f8', (1000000, 1000000))]",
    "'?'",
    "None",
    "'nothing'",
    "'<M8[ns]'",
    "('|u1', (1000000000,))",
]


@pytest.mark.slow
def test_heads_of_arrays(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "steps-004.npz"

    @inputs(400)
    @given(st.sampled_from(SHAPES), st.sampled_from(KINDS), st.sampled_from([0, 1, 255, 256, 257, 2048]))
    def check(shape: str, kind: str, body: int) -> None:
        path.write_bytes(forged(shape, kind, body))
        judge("samples, heads", path, lambda: read_samples(path))

    check()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (forged("(1000000000000,)", "'|u1'", 256), "declares 1,000,000,000,000 bytes but holds 256"),
        (forged("(4, 8, 8, 1)", "'|O'", 2048), "holds Python objects, which are not loaded"),
        (forged("(4, 8, 8, 1)", "[('a', '|O')]", 2048), "holds Python objects, which are not loaded"),
        (b"\x80\x04\x95cos\nsystem\n(S'touch x'\ntR.", "not a complete npz"),
        (b"\x93NUMPY\x01\x00", "not a complete npz"),
    ],
)
def test_an_array_gets_the_memory_of_what_is_there(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "steps-004.npz"
    path.write_bytes(content)
    with pytest.raises(TdbenchError, match=words):
        read_samples(path)


@pytest.mark.slow
def test_an_array_that_is_packed_tight_is_a_bomb(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "steps-004.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("arr_0.npy", "w") as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**30 + 1,)})
        zeros = bytes(2**24)
        for _ in range(2**6):
            file.write(zeros)
        file.write(b"\0")
    assert path.stat().st_size < 2**21
    with pytest.raises(TdbenchError, match=r"unpacks to 1,073,741,9.. bytes; at most 1,073,741,824"):
        read_samples(path)


def test_plain_files_of_numpy_are_read_as_numpy_does(tmp_path: Path) -> None:
    arrays = {
        "a": RANDOM.normal(size=(3, 4)),
        "b": np.array("text"),
        "c": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "file.npz", **arrays)
        found = read_arrays(tmp_path / "file.npz")
        assert found.keys() == arrays.keys() and all(np.array_equal(found[key], arrays[key]) for key in arrays)


def reference(path: Path) -> bytes:
    save_reference(path, ReferenceFeatures(FEATURES, Reference.model_validate(FACTS), Statistics.of(FEATURES)))
    return path.read_bytes()


@pytest.mark.slow
def test_bytes_of_reference_features(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "reference.npz"

    @inputs(400)
    @given(damaged(reference(path)))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("reference features, bytes", path, lambda: (load_reference(path), read_facts(path)))

    check()


ODD_ARRAYS = [
    FEATURES[:, :2],
    FEATURES[0],
    FEATURES.astype(np.float32),
    FEATURES * np.nan,
    FEATURES[:0],
    np.array("x"),
    np.full((12, 3), np.inf),
    FEATURES.astype(complex),
    FEATURES[None],
    np.zeros((12, 0)),
    np.zeros((3, 3)),
]


@pytest.mark.slow
def test_content_of_reference_features(tmp_path: Path, little_memory: None) -> None:
    path, good = tmp_path / "reference.npz", Statistics.of(FEATURES)
    odd = st.one_of(st.none(), st.sampled_from(ODD_ARRAYS))

    @inputs(400)
    @given(odd, odd, odd, bad_json(FACTS))
    def check(features: Any, mean: Any, covariance: Any, facts: bytes) -> None:
        arrays = {
            "features": FEATURES if features is None else features,
            "mean": good.mean if mean is None else mean,
            "covariance": good.covariance if covariance is None else covariance,
        }
        path.write_bytes(saved(facts=np.array(facts.decode("latin1")), **arrays))
        judge("reference features, content", path, lambda: load_reference(path))

    check()


SETTINGS = [
    "{}",
    "{'k_idx': 1e308}",
    "{'steps': 10**9}",
    "{'steps': 1000000000}",
    "{'rho': 0}",
    "{'sigma_min': 'x'}",
    "[]",
    "{[]: 1}",
    "{'td_coupling': 'shared'}",
    "{'lambda_edm': -1}",
    "{'P_std': 1e308}",
    "{1: 2, 'a': 3}",
    "{'steps': 2}",
    "(" * 500,
    "",
    "{'rho'",
    "__import__('os').system('touch x')",
    "{'weight_td': []}",
    "{'steps': None}",
    "{'sigma_data': 1e-320}",
    "{'k_idx': float('nan')}",
    "{'num_scales': 3}",
    "{'loss_norm': 'l3'}",
    "{'num_scales': 1000000000}",
    "{'lambda_td': [1]}",
]


def vectors(shape: tuple[int, ...], settings: str, consistency: bool) -> dict[str, np.ndarray]:
    """A case of reference vectors; its losses are wrong, which is not an error."""
    x0, first = RANDOM.normal(size=shape), shape[:1]
    case: dict[str, Any] = {"x0": x0, "kwargs": np.array(settings), "loss": np.zeros(first if consistency else ())}
    if consistency:
        case |= {
            "noise": x0,
            "indices": np.zeros(first, np.int64),
            "loss_ct": np.zeros(first),
            "loss_td": np.zeros(first),
        }
    else:
        case |= {"draw0": RANDOM.normal(size=(*first, 1, 1, 1)), "draw1": x0, "draw2": x0}
    return {f"0/{key}": value for key, value in case.items()}


@pytest.mark.slow
def test_reference_vectors(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "vectors.npz"
    shapes = st.sampled_from([(2, 1, 4, 4), (0, 1, 4, 4), (2, 1, 4, 0), (2, 3), (1,), ()])

    @inputs(250)
    @given(
        shapes,
        st.sampled_from(SETTINGS),
        st.booleans(),
        st.sampled_from(["", "x0", "loss", "kwargs", "indices", "draw1"]),
    )
    def check(shape: tuple[int, ...], settings: str, consistency: bool, odd: str) -> None:
        case = vectors(shape, settings, consistency)
        if odd:
            case[f"0/{odd}"] = np.zeros((3,), np.float32)
        path.write_bytes(saved(**case))
        judge("reference vectors", path, lambda: [found.line() for found in verify_file(path)])

    check()


def test_bytes_of_reference_vectors(tmp_path: Path, little_memory: None) -> None:
    path = tmp_path / "vectors.npz"

    @inputs(150)
    @given(damaged(saved(**vectors((2, 1, 4, 4), "{}", consistency=False))))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        judge("reference vectors, bytes", path, lambda: [found.line() for found in verify_file(path)])

    check()
