"""Reading a bad input: it is valid after all, or refused in lines that name the file; never anything else."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from tdbench.errors import TdbenchError

COUNTS: dict[str, Counter[str]] = {}
"""Reader -> how many inputs it refused and took."""
PATIENCE_S = 20.0
"""What one input of a few kB may take on a busy machine."""


def inputs(count: int) -> settings:
    """So many generated inputs, the same ones in every session."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
            HealthCheck.function_scoped_fixture,
            HealthCheck.filter_too_much,
        ],
    )


def judge(reader: str, file: Path | str, read: Callable[[], Any]) -> bool:
    """Whether an input is refused. Any other exception than ours passes through, and fails the test.

    Parameters
    ----------
    file : Path or str
        What every line of a refusal has to name.
    """
    with _in_time(reader):
        refusal = _refusal(read)
    if refusal is not None:
        assert refusal.mistakes, f"{reader} refuses without a word"
        for mistake in refusal.mistakes:
            assert str(file) in mistake, f"{reader} does not name {file}: {mistake}"
            assert mistake.isprintable(), mistake
    COUNTS.setdefault(reader, Counter())["taken" if refusal is None else "refused"] += 1
    return refusal is not None


def _refusal(read: Callable[[], Any]) -> TdbenchError | None:
    try:
        read()
    except TdbenchError as error:
        return error
    return None


@contextmanager
def _in_time(reader: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < PATIENCE_S, f"{reader} took {took:.0f} s"
