"""What jobs ask a cluster for."""

from types import SimpleNamespace
from typing import Any

import pytest

from tdbench.data.sources import SOURCES
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.experiment.schema import Dataset
from tdbench.workflow.batches import Batch
from tdbench.workflow.flow import Workflow
from tdbench.workflow.resources import (
    Requests,
    dataset_needs,
    evaluation_needs,
    sampling_needs,
    training_needs,
)


@pytest.fixture(scope="module")
def cifar10() -> Plan:
    return load_plan("cifar10")


def batch(run: Run, **training: Any) -> Batch:
    """A batch of this run, trained otherwise."""
    changed = run.alone().model_dump(by_alias=True)
    changed["training"] |= training
    return Batch("one", (Run.model_validate(changed),))


def test_longer_trainings_and_those_with_a_target_ask_for_more_time(cifar10: Plan) -> None:
    base, td = cifar10.run("edm-baseline-seed0"), cifar10.run("edm-td-seed0")
    minutes = training_needs(batch(base), 1).minutes
    # The operations of three forward passes and of four.
    assert training_needs(batch(td), 1).minutes / minutes == pytest.approx(4 / 3, rel=0.02)
    shorter = training_needs(batch(base, duration_kimg=100_000), 1).minutes
    assert minutes / shorter == pytest.approx(2, rel=0.01)
    both = Batch("both", (base.alone(), td))
    assert training_needs(both, 1).minutes == pytest.approx(minutes + training_needs(batch(td), 1).minutes, abs=6)


def test_gpus_share_a_training_and_a_cpu_takes_long_and_holds_its_activations(cifar10: Plan) -> None:
    run = cifar10.run("edm-td-seed0")
    one, four = training_needs(batch(run), 1), training_needs(batch(run, processes=4), 4)
    # Not four times as fast: a step has a least time.
    assert 3.5 < one.minutes / four.minutes < 4 and four.mem_mb > one.mem_mb
    cpu = training_needs(batch(run, device="cpu", threads=8), 8)
    assert cpu.minutes > 50 * one.minutes
    # 71 GB were counted for the paper's step of 512 images in float32 (docs/performance.md).
    assert 71_000 < cpu.mem_mb < 150_000
    assert training_needs(batch(run, device="cpu", microbatch_size=32), 8).mem_mb < cpu.mem_mb / 5


def test_the_network_of_a_distance_counts_in_time_and_on_a_cpu_in_memory(cifar10: Plan) -> None:
    lpips = cifar10.run("ct-baseline-seed0")
    plain = lpips.model_copy(update={"formulation": lpips.formulation.model_copy(update={"distance": "l2"})})
    needs = [training_needs(batch(run, device="cpu", threads=8), 8) for run in (lpips, plain)]
    # 128 images at once, each with VGG16's activations at 224x224: 54 MB in float32.
    assert needs[0].mem_mb - needs[1].mem_mb > 128 * 54 and needs[0].minutes > 1.4 * needs[1].minutes


def test_budgets_and_samples_count_in_sampling_and_scoring_and_cores_share_the_latter(cifar10: Plan) -> None:
    run = cifar10.run("edm-td-seed0")
    few = Batch("few", (run.model_copy(update={"sampling": run.sampling.model_copy(update={"images": 5_000})}),))
    assert sampling_needs(batch(run), 1).minutes > 8 * sampling_needs(few, 1).minutes
    assert evaluation_needs(batch(run), 1).mem_mb > evaluation_needs(few, 1).mem_mb
    assert evaluation_needs(batch(run), 1).minutes > 12 * evaluation_needs(batch(run), 16).minutes


def test_the_least_leaves_time_for_the_signal_before_the_end(tiny: Plan) -> None:
    one = Batch("one", (tiny.run("edm-td-seed0"),))
    for needs in (training_needs(one, 1), sampling_needs(one, 1), evaluation_needs(one, 1)):
        assert needs.minutes == 15 and 3_000 <= needs.mem_mb <= 8_000
    # A run that samples another's weights trains nothing.
    assert training_needs(Batch("none", ()), 1).minutes == 15


def test_every_source_and_extractor_has_needs() -> None:
    for source in SOURCES:
        path = None if SOURCES[source].path == "none" else "images"
        resolution = 64 if SOURCES[source].resolution == "required" else None
        dataset = Dataset.model_validate({"source": source, "path": path, "resolution": resolution})
        small, large = (dataset_needs(dataset, features, 1) for features in ("classifier", "inception"))
        assert small.minutes <= large.minutes and small.mem_mb <= large.mem_mb
    assert dataset_needs(Dataset(source="cifar10"), "inception", 1).minutes > 120


def test_attempts_ask_for_more_and_memory_not_without_end(tiny: Plan, tmp_path: Any) -> None:
    ask = Requests(Workflow([tiny], tmp_path))
    wildcards = SimpleNamespace(experiment="tiny", batch="digits/comparison/edm-1")
    assert [ask.minutes("train")(wildcards, attempt, 1) for attempt in (1, 2, 5)] == [15, 30, 75]
    first, *others = (ask.mem_mb("train")(wildcards, attempt, 1) for attempt in (1, 2, 3, 6))
    assert others == [2 * first, 3 * first, 3 * first]
    dataset = SimpleNamespace(dataset="digits", features="classifier")
    assert ask.mem_mb("reference")(dataset, 1, 1) == ask.mem_mb("data")(SimpleNamespace(dataset="digits"), 1, 1)
    assert ask.minutes("report")(SimpleNamespace(), 2, 1) == 100


def test_the_job_whose_batch_has_the_longest_way_to_go_comes_first(cifar10: Plan, tiny: Plan, tmp_path: Any) -> None:
    workflow = Workflow([cifar10, tiny], tmp_path)
    ask = Requests(workflow)

    def priority(stage: str, experiment: str, batch: str) -> int:
        assert batch in workflow[experiment].batches
        return ask.priority(stage)(SimpleNamespace(experiment=experiment, batch=batch))

    base, td = (f"cifar10/edm-{objective}-seed0" for objective in ("baseline", "td"))
    # The baseline is trained until it costs as much. What needs no GPU leaves the cores to what does.
    trained = [priority("train", "cifar10", objective) for objective in (base, td)]
    assert abs(trained[0] - trained[1]) <= 2 and min(trained) > priority("evaluate", "cifar10", td)
    # Short runs are told apart as well. Samples come before trainings, that they can be scored, and data before all.
    short = "digits/comparison/edm-1"
    assert 0 < priority("evaluate", "tiny", short) < priority("evaluate", "cifar10", td)
    assert priority("train", "tiny", short) < priority("train", "cifar10", base)
    assert (
        priority("train", "cifar10", td) < priority("sample", "tiny", short) < priority("sample", "cifar10", td) < 3000
    )


def test_on_cpus_alone_a_long_scoring_comes_before_a_short_training(cifar10: Plan, tiny: Plan, tmp_path: Any) -> None:
    def on_cpu(plan: Plan, name: str) -> Plan:
        path = tmp_path / name
        path.write_text(plan.path.read_text().replace("training:\n", "training:\n  device: cpu\n", 1))
        return load_plan(str(path))

    ask = Requests(Workflow([on_cpu(cifar10, "cifar10.yaml"), on_cpu(tiny, "tiny.yaml")], tmp_path))
    scoring = ask.priority("evaluate")(SimpleNamespace(experiment="cifar10", batch="cifar10/edm-td-seed0"))
    assert scoring > ask.priority("train")(SimpleNamespace(experiment="tiny", batch="digits/comparison/edm-1"))
