"""Reads npz files that may be forged, and never allocates more memory than the file really holds."""

import math
import os
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

_LARGEST_UNPACKED = 2**30
"""Largest compressed array, in bytes. Uncompressed arrays, such as those of tdbench, may have any size."""


def read_arrays(file: Path | BinaryIO, *names: str) -> dict[str, np.ndarray]:
    """Read all arrays of an npz file, or those in ``names``. Object arrays are rejected, because they are pickles.

    ``file`` is a path or an open file.

    Raises
    ------
    Exception
        Of many classes, also of zipfile and numpy, if the file is missing, damaged or forged.
    """
    with ZipFile(file) as archive:
        chosen = names or [name.removesuffix(".npy") for name in archive.namelist()]
        size = file.stat().st_size if isinstance(file, Path) else os.fstat(file.fileno()).st_size
        return {name: _array(archive, archive.getinfo(f"{name}.npy"), size) for name in chosen}


def _array(archive: ZipFile, info: ZipInfo, size: int) -> np.ndarray:
    """Read one array. Its header is compared with the bytes after it before numpy allocates memory."""
    most = size if info.compress_type == ZIP_STORED else _LARGEST_UNPACKED
    if info.file_size > most:
        raise ValueError(f"{info.filename} unpacks to {info.file_size:,} bytes; at most {most:,}")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        read_head = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read_head(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects, which are not loaded")
        promised, there = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if promised != there or any(length < 0 for length in shape):
            raise ValueError(f"{info.filename} declares {promised:,} bytes but holds {there:,}")
    with archive.open(info) as file:
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
        return array
