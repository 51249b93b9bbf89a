"""Memory that bad inputs may ask for, and the table of how many there were."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.tally import COUNTS

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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not COUNTS:
        return
    terminalreporter.section("bad inputs")
    rows = [(name, found["refused"], found["taken"]) for name, found in COUNTS.items()]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    terminalreporter.write_line(f"{'reader':<34}{'inputs':>8}{'refused':>9}{'taken':>8}")
    for name, refused, taken in rows:
        terminalreporter.write_line(f"{name:<34}{refused + taken:>8,}{refused:>9,}{taken:>8,}")
