"""Samples have classes in the proportions of the data, unless the experiment asks for even ones."""

from pathlib import Path

import numpy as np
import pytest

from tdbench.data.archive import read_archive, write_archive
from tdbench.experiment.load import load_plan
from tdbench.sampling.stage import Latents
from tests.cases.calls import copied

COUNT = 500


def drawn(folder: Path, archive: Path, **classes: str) -> np.ndarray:
    """How many samples of the case's experiment have each class."""
    text = (folder / "imb90.yaml").read_text()
    if classes:
        text = text.replace("sampling: {", f"sampling: {{classes: {classes['classes']}, ")
    (folder / "e.yaml").write_text(text)
    run = load_plan(str(folder / "e.yaml")).comparison[0]
    data = read_archive(archive).summary()
    assert run.sampling.images == COUNT
    return np.bincount(Latents.of(run, data).labels, minlength=data.classes)


def test_the_case(tmp_path: Path) -> None:
    """178 to 20: within four standard deviations of the draw."""
    case = copied("imbalance", tmp_path)
    zeros, ones = drawn(case, case / "imb90.zip")
    share = 20 / 198
    assert zeros + ones == COUNT and abs(ones / COUNT - share) < 4 * (share * (1 - share) / COUNT) ** 0.5


@pytest.mark.parametrize("counts", [[90, 9, 1], [1, 99]])
def test_further_members(counts: list[int], tmp_path: Path) -> None:
    case = copied("imbalance", tmp_path)
    labels = np.repeat(np.arange(len(counts)), counts)
    write_archive(case / "other.zip", np.zeros((len(labels), 1, 8, 8), np.uint8), labels)
    shares = np.array(counts) / sum(counts)
    assert (abs(drawn(case, case / "other.zip") / COUNT - shares) < 4 * (shares * (1 - shares) / COUNT) ** 0.5).all()


def test_even_ones_where_they_are_asked_for(tmp_path: Path) -> None:
    case = copied("imbalance", tmp_path)
    assert abs(drawn(case, case / "imb90.zip", classes="even")[1] / COUNT - 0.5) < 4 * (0.25 / COUNT) ** 0.5
