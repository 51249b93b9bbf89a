"""What the benchmark of scoring says of its measurements; the measuring itself takes minutes."""

from pathlib import Path

import pytest

from benchmarks.evaluation import compare, table
from tdbench.errors import TdbenchError

THEIRS = {"clean-fid": (30.0, {"fid": 1.0}), "torch-fidelity": (50.0, {"fid": 1.0})}


def test_the_first_set_bears_the_start_and_the_reference() -> None:
    lines = table(100, THEIRS, 60.0, {"seconds": [32.0, 11.0, 13.0], "scores": {}})
    assert lines[-2:] == [
        "reference and first set / theirs: 0.450 (1/2.2; at most 0.500), 36 s",
        "a further set / theirs: 0.150 (1/6.7; at most 0.333), 12 s",
    ]


def test_a_target_that_is_missed_is_said() -> None:
    lines = table(100, THEIRS, 100.0, {"seconds": [40.0, 30.0, 30.0], "scores": {}})
    assert ", missed)" not in lines[-2] and ", missed)" in lines[-1]


def test_too_few_images_are_told(archive: Path) -> None:
    with pytest.raises(TdbenchError, match="1797 images; --images 1000 needs 2000"):
        compare(archive, 1000)
