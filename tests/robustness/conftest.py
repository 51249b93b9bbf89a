"""Memory that bad inputs may ask for."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

ALLOWED = 3 << 30
"""Bytes of address space beyond what the process has: threads and arenas take some, a forged header wants terabytes."""


@pytest.fixture
def little_memory() -> Iterator[None]:
    """An allocation of gigabytes fails."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ALLOWED, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)
