"""Decoding many images: in threads, with a progress bar, and with every failure listed instead of the first."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import psutil
from PIL import Image, UnidentifiedImageError

from tdbench.errors import TdbenchError
from tdbench.runtime.progress import progress

SHOW_AFTER_S = 2.0
"""Work on images that takes no longer shows no progress bar."""
_CHUNK = 32
_MOST_THREADS = 16
_SHOWN = 5


def decode_all(names: Sequence[object], decode: Callable[[int], None], description: str) -> list[str]:
    """Call ``decode(i)`` for every index of ``names``, in threads: Pillow's decoders and filters let others run.

    Parameters
    ----------
    decode : callable
        Stores image i where it belongs, or raises. Images so large that they may be meant to fill the memory
        (`PIL.Image.MAX_IMAGE_PIXELS`) make Pillow raise.

    Returns
    -------
    list of str
        ``name (reason)`` of each failure, in the order of ``names``.
    """

    def decode_chunk(start: int) -> list[str]:
        failed = []
        for i in range(start, min(start + _CHUNK, len(names))):
            try:
                decode(i)
            except Exception as error:  # decoders and zlib raise many kinds for damaged data
                failed.append(f"{names[i]} ({_reason(error)})")
        return failed

    starts = range(0, len(names), _CHUNK)
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    failures = []
    with (
        no_bombs(),
        progress(description, len(names), "img", SHOW_AFTER_S) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        for start, failed in zip(starts, pool.map(decode_chunk, starts), strict=True):
            failures += failed
            bar.update(min(_CHUNK, len(names) - start))
    return failures


@contextmanager
def no_bombs() -> Iterator[None]:
    """Within the block Pillow raises for an image that is so large that it may be meant to fill the memory.

    Filters of warnings hold for all threads, so that one is set around them and not in each.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def allocate(count: int, channels: int, height: int, width: int) -> np.ndarray:
    """(count, channels, height, width) uint8, not yet filled.

    Raises
    ------
    TdbenchError
        If the memory does not suffice.
    """
    size = count * channels * height * width
    told = f"{count:,} images of {width}x{height} need {size / 1e9:,.1f} GB of memory"
    # Where memory is promised freely numpy gets any amount, and the process is killed when it is filled.
    if size > psutil.virtual_memory().total:
        raise TdbenchError(f"{told}, more than this machine has; choose a lower resolution")
    try:
        return np.empty((count, channels, height, width), dtype=np.uint8)
    except MemoryError as error:
        raise TdbenchError(f"{told}; choose a lower resolution") from error


def some(items: Sequence[object]) -> str:
    """How many images, and the first few of them."""
    shown = ", ".join(map(str, items[:_SHOWN]))
    return f"{len(items)} image{'s' if len(items) != 1 else ''}: {shown}{', ...' if len(items) > _SHOWN else ''}"


def _reason(error: Exception) -> str:
    """One short line without paths or addresses."""
    if isinstance(error, UnidentifiedImageError):
        return "no image of a kind that is read, or damaged at its start"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
