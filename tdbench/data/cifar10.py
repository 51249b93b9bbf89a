"""CIFAR-10's 50,000 training images, from the official archives, downloaded or given as a file.

Both archives hold the same images in the same order: five batches of 10,000. They are read from the tar file in
memory, only after their checksum has been found right; nothing is unpacked to disk.
"""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tdbench.data.raw import RawImages
from tdbench.errors import TdbenchError
from tdbench.runtime.downloads import Published, cache_folder, fetch
from tdbench.runtime.files import sha256

URL = "https://www.cs.toronto.edu/~kriz/"
PYTHON, BINARY = "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"
# The site itself gives MD5: c58f30108f718f92721af3b95e74349a and c32a1d4ab5d03f1284b67883e8d87530.
CHECKSUMS = {
    PYTHON: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    BINARY: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
}
_BYTES = 170_498_071
_BATCHES = range(1, 6)
_PIXELS = 3 * 32 * 32
_LARGEST = 2**26  # bytes of a batch, which has 31 million


class Batch(NamedTuple):
    """(N, 3072) uint8 pixels, channel by channel and row by row, and (N,) classes."""

    pixels: np.ndarray
    labels: np.ndarray


def read_cifar10(path: Path | None) -> RawImages:
    """The training images in their official order: RGB, 32x32, 10 classes.

    Parameters
    ----------
    path : Path or None
        The python or the binary archive; None to download the first, once.

    Raises
    ------
    TdbenchError
        If the download fails, or the file is none of the two archives.
    """
    path = download() if path is None else path
    parse = {PYTHON: _read_python, BINARY: _read_binary}[_which(path)]
    try:
        batches = parse(path)
    except Exception as error:  # tar, gzip and pickle raise many kinds for what is not theirs
        raise TdbenchError(f"{path}: not the content of CIFAR-10's archive ({error}); {_advice()}") from error
    pixels = np.concatenate([batch.pixels for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches]).astype(np.int64)
    return RawImages(pixels.reshape(-1, 3, 32, 32), labels)


def download() -> Path:
    """The python archive in the cache, fetched if it is not there; its checksum is right."""
    return fetch(Published(f"{URL}{PYTHON}", CHECKSUMS[PYTHON], _BYTES), cache_folder(), _advice())


def _advice() -> str:
    return f"fetch {URL}{PYTHON} (SHA-256 {CHECKSUMS[PYTHON]}) by other means and give its path (--path, or `path`)"


def _which(path: Path) -> str:
    """Which official archive a file is, by its checksum; its name does not count."""
    if not path.is_file():
        found = "is not a file" if path.exists() else "no such file"
        raise TdbenchError(f"{path}: {found}; expected {PYTHON} or {BINARY}, as they come from {URL}")
    checksum = sha256(path)
    for name, expected in CHECKSUMS.items():
        if checksum == expected:
            return name
    raise TdbenchError(
        f"{path}: neither {PYTHON} nor {BINARY}: its SHA-256 is {checksum}; {_advice()}, or the binary archive's"
    )


def _members(path: Path, names: list[str]) -> list[bytes]:
    """Content of the named regular files of a tar archive, in the order of ``names``."""
    content: dict[str, bytes] = {}
    # As a stream: going back and forth would decompress again and again.
    with tarfile.open(path, "r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() and member.name in names else None
            if file is not None and member.size > _LARGEST:
                raise ValueError(f"{member.name} unpacks to {member.size:,} bytes; at most {_LARGEST:,}")
            if file is not None:
                content[member.name] = file.read()
    missing = [name for name in names if name not in content]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return [content[name] for name in names]


def _read_binary(path: Path) -> list[Batch]:
    """Records of one byte for the class and 3,072 for the pixels."""
    batches = []
    for data in _members(path, [f"cifar-10-batches-bin/data_batch_{i}.bin" for i in _BATCHES]):
        records = np.frombuffer(data, dtype=np.uint8).reshape(-1, 1 + _PIXELS)
        batches.append(_checked(records[:, 1:], records[:, 0]))
    return batches


def _read_python(path: Path) -> list[Batch]:
    """Pickles of a dictionary with ``data`` and ``labels``, written by Python 2."""
    batches = []
    for data in _members(path, [f"cifar-10-batches-py/data_batch_{i}" for i in _BATCHES]):
        content = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
        batches.append(_checked(np.asarray(content[b"data"]), np.asarray(content[b"labels"])))
    return batches


def _checked(pixels: np.ndarray, labels: np.ndarray) -> Batch:
    shapes = pixels.shape == (len(labels), _PIXELS) and labels.ndim == 1 and len(labels) > 0
    if not (shapes and pixels.dtype == np.uint8 and labels.dtype.kind in "iu"):
        raise ValueError(f"pixels {pixels.dtype} {pixels.shape}, labels {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"classes {labels.min()} to {labels.max()}; expected 0 to 9")
    return Batch(pixels, labels)


class _ArrayUnpickler(pickle.Unpickler):
    """Knows numbers, strings, lists, dictionaries and numpy arrays; any other name in a pickle is an error.

    The checksum says already that the pickle is the official one. This is the second lock.
    """

    # What arrays are rebuilt with; numpy gives it out itself, so that its private modules need not be named.
    _allowed = {  # noqa: RUF012 (never changed)
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"a pickle that asks for {module}.{name}, which no image needs") from None
