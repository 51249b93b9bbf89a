"""The classes of samples: in the proportions of the data, or even, each image from its own seed."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tdbench.data.archive import read_archive, write_archive
from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import RunLayout
from tdbench.records.stored import Records
from tdbench.sampling.stage import Latents, class_order, image_noise, sample_run
from tdbench.seeds import generator
from tdbench.training.loop import train
from tests.conftest import TINY
from tests.training.test_loop import shorter

SHAPE = (1, 8, 8)


def even_draw(seed: int, index: int, classes: int) -> tuple[torch.Tensor, int]:
    """Latent and class with the class drawn evenly, written out."""
    source = generator(seed, "sampling", index)
    label = int(torch.randint(classes, (), generator=source))
    return torch.randn(SHAPE, generator=source), label


@pytest.mark.parametrize(("classes", "each"), [(1, 7), (2, 99), (10, 5000), (1000, 50)])
def test_balanced_data_keep_the_draws_of_an_even_choice_to_the_bit(classes: int, each: int) -> None:
    order = class_order([each] * classes)
    assert len(order) == classes * each and order[: 2 * classes] == [*range(classes)] * 2
    for index in range(50):
        noise, label = image_noise(3, index, SHAPE, order)
        expected = even_draw(3, index, classes)
        assert torch.equal(noise, expected[0]) and label == expected[1]


def test_classes_come_in_the_proportions_of_the_data() -> None:
    """90 to 10, within four standard deviations of the draw."""
    order = class_order([178, 20])
    drawn = [image_noise(0, index, (1, 1, 1), order)[1] for index in range(4000)]
    share = 20 / 198
    assert abs(np.mean(drawn) - share) < 4 * (share * (1 - share) / 4000) ** 0.5
    assert Counter(class_order([3, 1, 2])) == {0: 3, 1: 1, 2: 2} and class_order([3, 1, 2]) == [0, 1, 2, 0, 2, 0]


def test_data_without_labels_have_the_latents_of_before() -> None:
    noise, label = image_noise(0, 5, SHAPE, [])
    assert label == 0 and torch.equal(noise, torch.randn(SHAPE, generator=generator(0, "sampling", 5)))


def imbalanced(folder: Path, **sampling: object) -> tuple[Plan, Path]:
    """The tiny experiment, and an archive with nine images of class 0 for one of class 1."""
    source = np.random.default_rng(0)
    labels = np.array([0] * 180 + [1] * 20, dtype=np.int64)
    write_archive(folder / "ninety.zip", source.integers(0, 256, (200, *SHAPE), dtype=np.uint8), labels)
    content = yaml.safe_load(TINY.read_text())
    content["sampling"] |= {"images": 400, "batch_size": 400, "steps": [2]} | sampling
    (folder / "ninety.yaml").write_text(yaml.safe_dump(content))
    return load_plan(str(folder / "ninety.yaml")), folder / "ninety.zip"


@pytest.mark.parametrize(("how", "low", "high"), [("data", 0.05, 0.15), ("even", 0.4, 0.6)])
def test_a_sample_set_says_which_it_was(how: str, low: float, high: float, tmp_path: Path) -> None:
    plan, archive = imbalanced(tmp_path, classes=how)
    run = shorter(plan.run("edm-baseline-seed0"))
    layout = RunLayout(tmp_path / "r", run)
    train(run, archive, layout)
    sample_run(run, layout)
    (entry, *_) = json.loads(layout.samples.read_text())["samples"]
    assert entry["key"]["classes"] == how
    labels = np.load(layout.folder / entry["file"])["arr_1"]
    assert low < np.mean(labels == 1) < high
    assert json.loads(layout.settings.read_text())["data"]["class_counts"] == [180, 20]


def test_the_default_is_the_datas_proportions_and_another_word_is_refused(tmp_path: Path) -> None:
    plan, archive = imbalanced(tmp_path)
    run = plan.run("edm-baseline-seed0")
    assert run.sampling.classes == "data"
    data = read_archive(archive).summary()
    assert 0.05 < Latents.of(run, data).labels.double().mean() < 0.15
    with pytest.raises(TdbenchError, match=r"sampling\.classes: 'uniform': should be 'data' or 'even'"):
        imbalanced(tmp_path, classes="uniform")


def test_a_record_without_the_numbers_of_images_by_class_is_refused(tmp_path: Path) -> None:
    plan, archive = imbalanced(tmp_path)
    known = read_archive(archive).summary().to_json()
    data = DataSummary(**{key: value for key, value in known.items() if key != "class_counts"})
    with pytest.raises(TdbenchError, match=r"of an earlier version.*run `tdbench train .*edm-baseline-seed0` again"):
        Latents.of(plan.run("edm-baseline-seed0"), data)


def test_an_objective_whose_classes_are_drawn_otherwise_than_the_baselines_is_refused(tmp_path: Path) -> None:
    content = yaml.safe_load(TINY.read_text())
    content["overrides"] = [{"objectives": ["td"], "set": {"sampling.classes": "even"}}]
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(
        TdbenchError, match=r"objective 'td': sampling\.classes: 'even' differs from the baseline's 'data'"
    ):
        load_plan(str(tmp_path / "mixed.yaml"))


def test_a_run_of_an_earlier_version_is_refused_with_the_command_that_makes_it_anew(tmp_path: Path) -> None:
    """Its betas stood beside the optimizer."""
    plan, archive = imbalanced(tmp_path)
    run = shorter(plan.run("edm-baseline-seed0"))
    layout = RunLayout(tmp_path / "r", run)
    train(run, archive, layout)
    record = json.loads(layout.settings.read_text())
    record["run"]["training"]["betas"] = record["run"]["training"].pop("optimizer")["betas"]
    layout.settings.write_text(json.dumps(record))
    with pytest.raises(
        TdbenchError, match=r"of another version of tdbench; run `tdbench train tiny .*-seed0 --results .*` again"
    ):
        assert Records(tmp_path / "r").of(run).trained


def test_a_data_set_of_an_earlier_version_is_still_the_same_data(tmp_path: Path) -> None:
    """Its summary has no counts; trainings on it are not made again for that."""
    _, archive = imbalanced(tmp_path)
    summary = read_archive(archive).summary()
    earlier = DataSummary(**{key: value for key, value in summary.to_json().items() if key != "class_counts"})
    assert summary.same_data(earlier) and earlier.same_data(summary) and summary.same_data(summary)
    assert not summary.same_data(earlier.model_copy(update={"sha256": "0" * 64}))
    assert not summary.same_data(summary.model_copy(update={"class_counts": [100, 100]}))
