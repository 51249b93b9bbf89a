"""CIFAR-10's official archives, by small ones of the same build."""

import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tdbench.cli.main import main
from tdbench.data import cifar10
from tdbench.data.archive import read_archive
from tdbench.data.sources import read_source
from tdbench.errors import TdbenchError
from tdbench.runtime.downloads import CACHE_VARIABLE

PER_BATCH = 4
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5 * PER_BATCH, 3, 32, 32), dtype=np.uint8)
LABELS = RNG.permutation(np.arange(5 * PER_BATCH) % 10)


def python2_pickle(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """What Python 2's cPickle, protocol 2, made of {"labels": list, "data": array}; Python 3 cannot write it."""
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"M" + struct.pack("<H", len(pixels)) + b"M" + struct.pack("<H", 3072) + b"\x86"
    raw = b"T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" + shape + dtype
    return b"\x80\x02}(U\x06labels](" + numbers + b"eU\x04data" + array + b"\x89" + raw + b"tbu."


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def members(kind: str) -> dict[str, bytes]:
    """Batches out of order and among other files, as in the official archives."""
    content = {}
    for i in (4, 1, 5, 2, 3):
        part = slice((i - 1) * PER_BATCH, i * PER_BATCH)
        pixels, labels = PIXELS[part].reshape(PER_BATCH, -1), LABELS[part]
        if kind == cifar10.PYTHON:
            content[f"cifar-10-batches-py/data_batch_{i}"] = python2_pickle(pixels, labels)
        else:
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
            content[f"cifar-10-batches-bin/data_batch_{i}.bin"] = records.tobytes()
    folder = "cifar-10-batches-py" if kind == cifar10.PYTHON else "cifar-10-batches-bin"
    return {f"{folder}/readme.html": b"hello", f"{folder}/test_batch": b"not for training", **content}


def trust(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checksum of ``path`` be that of the official archive."""
    monkeypatch.setitem(cifar10.CHECKSUMS, kind, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("kind", [cifar10.PYTHON, cifar10.BINARY])
def test_both_archives_give_the_training_images_in_official_order(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(tmp_path / "whatever.its.name", members(kind))
    trust(path, kind, monkeypatch)
    output = tmp_path / "archive.zip"
    monkeypatch.setattr("sys.argv", ["tdbench", "data", "cifar10", "--path", str(path), "-o", str(output)])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 0
    found = read_archive(output)
    np.testing.assert_array_equal(found.images, PIXELS)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.num_classes == 10 and sorted(p.name for p in tmp_path.iterdir()) == [
        "archive.json",
        "archive.zip",
        "whatever.its.name",
    ]


def test_a_wrong_checksum_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(tmp_path / cifar10.PYTHON, members(cifar10.PYTHON))
    monkeypatch.setattr(tarfile, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(TdbenchError) as error:
        read_source("cifar10", path, None)
    for words in (str(path), hashlib.sha256(path.read_bytes()).hexdigest(), cifar10.URL + cifar10.PYTHON, "--path"):
        assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("module", "name", "argument"),
    [("os", "system", "U\x05touch"), ("builtins", "eval", "U\x011"), ("numpy", "fromfile", "U\x01x")],
)
def test_a_pickle_that_asks_for_more_than_arrays_is_refused(
    module: str, name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = f"\x80\x02c{module}\n{name}\n{argument}\x85R.".encode("latin1")
    path = tar(tmp_path / cifar10.PYTHON, members(cifar10.PYTHON) | {"cifar-10-batches-py/data_batch_2": evil})
    trust(path, cifar10.PYTHON, monkeypatch)
    with pytest.raises(TdbenchError, match=f"a pickle that asks for {module}.{name}, which no image needs"):
        read_source("cifar10", path, None)


def test_a_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    evil = f"cos\nmkdir\n(S'{victim}'\ntR.".encode()
    path = tar(tmp_path / cifar10.PYTHON, members(cifar10.PYTHON) | {"cifar-10-batches-py/data_batch_1": evil})
    trust(path, cifar10.PYTHON, monkeypatch)
    with pytest.raises(TdbenchError, match=r"asks for os\.mkdir"):
        read_source("cifar10", path, None)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        (cifar10.BINARY, {"cifar-10-batches-bin/data_batch_3.bin": b"\0" * 3072}, "reshape"),
        (cifar10.BINARY, {"cifar-10-batches-bin/data_batch_3.bin": b"\x0a" * 3073}, "classes 10 to 10"),
        (cifar10.PYTHON, {"cifar-10-batches-py/data_batch_3": b"\x80\x02}."}, "labels|data"),
        (cifar10.PYTHON, None, "cifar-10-batches-py/data_batch_1 is missing"),
    ],
)
def test_other_content_is_one_line(
    kind: str, change: dict[str, bytes] | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tar(tmp_path / kind, {} if change is None else members(kind) | change)
    trust(path, kind, monkeypatch)
    with pytest.raises(TdbenchError, match=words) as error:
        read_source("cifar10", path, None)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(("path", "words"), [("nowhere.tar.gz", "no such file"), (".", "is not a file")])
def test_a_path_that_is_no_file(path: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(TdbenchError, match=f"{words}; expected {cifar10.PYTHON} or {cifar10.BINARY}"):
        read_source("cifar10", tmp_path / path, None)


@pytest.fixture
def server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], ThreadingHTTPServer]
) -> ThreadingHTTPServer:
    """A site in place of the official one, with an archive of its own, and an empty cache."""
    (tmp_path / "site").mkdir()
    path = tar(tmp_path / "site" / cifar10.PYTHON, members(cifar10.PYTHON))
    trust(path, cifar10.PYTHON, monkeypatch)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    site = serve(path.parent)
    monkeypatch.setattr(cifar10, "URL", f"http://127.0.0.1:{site.server_port}/")
    return site


def test_a_download_is_kept_and_used_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_source("cifar10", None, None).images, PIXELS)
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [cifar10.PYTHON]
    (tmp_path / "site" / cifar10.PYTHON).unlink()
    np.testing.assert_array_equal(read_source("cifar10", None, None).labels, LABELS)


def fails_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: Path) -> str:
    monkeypatch.setattr("sys.argv", ["tdbench", "data", "cifar10", "-o", str(output)])
    with pytest.raises(SystemExit) as exit_:
        main()
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count("\n") == 1 and not output.exists(), error
    for words in (cifar10.URL + cifar10.PYTHON, cifar10.CHECKSUMS[cifar10.PYTHON], "give its path (--path, or `path`)"):
        assert words in error, error
    return error


def test_a_download_with_another_checksum_is_refused_and_not_kept(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site" / cifar10.PYTHON).write_bytes(b"something else")
    error = fails_in_one_line(monkeypatch, capsys, tmp_path / "archive.zip")
    assert "the downloaded file has the wrong checksum" in error
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_on_the_site_and_a_site_that_does_not_answer(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site" / cifar10.PYTHON).unlink()
    assert "cannot be downloaded (HTTPError)" in fails_in_one_line(monkeypatch, capsys, tmp_path / "archive.zip")
    server.shutdown()
    server.server_close()
    assert "cannot be downloaded (ConnectionError)" in fails_in_one_line(monkeypatch, capsys, tmp_path / "archive.zip")


def test_a_cache_that_cannot_be_written(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(TdbenchError, match=f"cannot store a download .*set {CACHE_VARIABLE} to a writable"):
        read_source("cifar10", None, None)
