"""The floor of FID: what perfect samplers score with as many samples."""

import json

import numpy as np
import pytest

from tdbench.evaluation.features import ReferenceFeatures, Statistics
from tdbench.evaluation.floor import (
    DRAWS,
    data_floor,
    has_data_floor,
    normal_floor,
    normal_samples,
    split,
    write_floors,
)
from tdbench.evaluation.scores import MODULES
from tdbench.records.floor import Floor, Spread
from tdbench.records.layout import DatasetLayout
from tdbench.records.schema import Reference
from tdbench.runtime.provenance import provenance

LIBRARY, SAMPLES, DEPTH = "torch-fidelity", 200, 12


def reference(images: int = 600) -> ReferenceFeatures:
    """Features that are correlated and not centred."""
    source = np.random.default_rng(1)
    features = source.standard_normal((images, DEPTH)) @ source.standard_normal((DEPTH, DEPTH)) + 3
    facts = Reference(
        library=LIBRARY,
        library_version="1",
        features="made",
        weights="w",
        resize="native",
        data="d" * 64,
        extracted_by=LIBRARY,
        provenance=provenance(),
    )
    return ReferenceFeatures(features, facts, Statistics.of(features))


def test_the_mean_of_twenty_draws_lies_within_the_spread_of_two_hundred_others() -> None:
    made = reference()
    drawn = list(normal_floor(LIBRARY, made, SAMPLES))
    source, distance = np.random.default_rng(99), MODULES[LIBRARY].distance
    others = [
        distance(Statistics.of(normal_samples(made.statistics, SAMPLES, source)), made.statistics) for _ in range(200)
    ]
    assert len(drawn) == DRAWS
    assert abs(np.mean(drawn) - np.mean(others)) < np.std(others)
    assert np.std(drawn) == pytest.approx(np.std(others), rel=0.5)
    images = list(data_floor(LIBRARY, made, SAMPLES))
    more = [distance(*split(made.features, SAMPLES, source)) for _ in range(200)]
    assert abs(np.mean(images) - np.mean(more)) < np.std(more)


def floor_of(made: ReferenceFeatures) -> Floor:
    normal, data = (list(kind(LIBRARY, made, SAMPLES)) for kind in (normal_floor, data_floor))
    spread = Spread.of(data) if data else None
    return Floor(library=LIBRARY, samples=SAMPLES, images=len(made.features), normal=Spread.of(normal), data=spread)


def test_a_perfect_sampler_is_at_the_floor_and_one_with_a_defect_above_it_is_not() -> None:
    made, source = reference(), np.random.default_rng(5)
    floor, distance = floor_of(made), MODULES[LIBRARY].distance

    def scores(shift: float) -> list[float]:
        drawn = (normal_samples(made.statistics, SAMPLES, source) for _ in range(40))
        return [distance(Statistics.of(features + shift), made.statistics) for features in drawn]

    assert np.mean([score <= floor.highest for score in scores(0.0)]) >= 0.9
    # A shift of every feature by s adds D s^2 to FID.
    defect = np.sqrt(2 * (floor.highest - floor.normal.mean) / DEPTH)
    assert not any(score <= floor.highest for score in scores(float(defect) * 2))


def test_the_data_need_as_many_images_again() -> None:
    assert has_data_floor(400, 200) and not has_data_floor(399, 200)
    assert list(data_floor(LIBRARY, reference(399), SAMPLES)) == []
    made = reference(399)
    floor = floor_of(made)
    assert floor.data is None and floor.mean == floor.normal.mean


def test_features_that_depend_on_each_other_have_a_floor_too() -> None:
    features = np.repeat(np.random.default_rng(2).standard_normal((300, 3)), 2, axis=1)
    drawn = normal_samples(Statistics.of(features), 50, np.random.default_rng(3))
    assert np.allclose(drawn[:, 0], drawn[:, 1]) and drawn.shape == (50, 6)


def test_the_command_writes_one_entry_a_library(
    prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.conftest import results_with_data

    results = results_with_data(tmp_path_factory.mktemp("floor"), prepared)
    files = DatasetLayout(results, "digits")
    path = write_floors(files, "classifier", ["clean-fid", "torch-fidelity"], 128, 1)
    content = json.loads(path.read_text())
    assert path == files.floor("classifier", 128)
    assert [row["library"] for row in content["floors"]] == ["clean-fid", "torch-fidelity"]
    one, other = content["floors"]
    assert one["normal"] == other["normal"] and one["images"] == 1797 and one["data"]["draws"] == DRAWS
    # 128 images of the data are further from the rest than normal samples from their own moments.
    assert one["data"]["mean"] > one["normal"]["mean"] > 1
