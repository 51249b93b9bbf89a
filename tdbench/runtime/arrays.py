"""Reading npz files that may be forged: the memory that they get is what is really in them."""

import math
import os
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

_LARGEST_UNPACKED = 2**30
"""Bytes of an array that is compressed; what is stored as it is, as our own files are, may be of any size."""


def read_arrays(file: Path | BinaryIO, *names: str) -> dict[str, np.ndarray]:
    """The arrays of an npz file, or those of these names; never objects, which would be pickles.

    ``file`` is its path, or the file opened.

    Raises
    ------
    Exception
        Of many kinds, zipfile's and numpy's among them, if it is missing, damaged or forged.
    """
    with ZipFile(file) as archive:
        chosen = names or [name.removesuffix(".npy") for name in archive.namelist()]
        size = file.stat().st_size if isinstance(file, Path) else os.fstat(file.fileno()).st_size
        return {name: _array(archive, archive.getinfo(f"{name}.npy"), size) for name in chosen}


def _array(archive: ZipFile, info: ZipInfo, size: int) -> np.ndarray:
    """One array, whose head is compared with the bytes behind it before numpy makes room for it."""
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
