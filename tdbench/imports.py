"""Importing large libraries in less time."""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# At the end all is collected again: what stays then is reported as leaked on standard error by triton's nanobind.
atexit.register(gc.unfreeze)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import inside without collections of garbage, and leave what came in out of those to come.

    A library such as torch or diffusers brings very many objects that stay. Python's collector walks through all of
    them again and again, while they arrive and afterwards: up to a third of the time of a short job.
    Where nothing new is imported, nothing changes. Meant for programs: what a caller holds when something is imported
    here is never searched for cycles either.
    """
    known, collecting = len(sys.modules), gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > known:
            gc.freeze()
        if collecting:
            gc.enable()
