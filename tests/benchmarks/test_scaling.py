"""Simulated calls of Snakemake: schedules computed by hand, what holds for any, and the real Snakefile."""

import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ruamel.yaml import YAML

from benchmarks.scaling.costs import Cost, costs_of
from benchmarks.scaling.figure import draw, in_use
from benchmarks.scaling.many_jobs import write_experiment
from benchmarks.scaling.rates import Rates
from benchmarks.scaling.settings import SETTINGS, Setting
from benchmarks.scaling.simulate import ROOT, Job, Outcome, simulate
from benchmarks.scaling.table import Row, as_markdown, duration
from tdbench.errors import TdbenchError
from tdbench.experiment.load import load_plan, load_plans
from tdbench.workflow.budget import Throughput, run_budget
from tdbench.workflow.flow import Workflow
from tdbench.workflow.resources import Requests
from tests.conftest import TINY

pytestmark = pytest.mark.slow

SNAKEFILE = """
rule all:
    input: expand("{n}.scored", n=[1, 2, 3])
rule train:
    output: "{n}.trained"
    resources: gpu=1
    shell: "false"
rule score:
    input: "{n}.trained"
    output: "{n}.scored"
    threads: 2
    shell: "false"
"""
COSTS = {"1.trained": 10.0, "2.trained": 20.0, "3.trained": 30.0, "1.scored": 5.0, "2.scored": 5.0, "3.scored": 5.0}
SPEED = Throughput(100.0, "(stated)")


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three chains of a training and its scoring."""
    path = tmp_path_factory.mktemp("small") / "Snakefile"
    path.write_text(SNAKEFILE)
    return path


def small(workflow: Path, gpus: int, **costs: Cost) -> Outcome:
    known = {name: Cost(seconds) for name, seconds in COSTS.items()}
    return simulate(workflow, known | {f"{n}.trained": cost for n, cost in costs.items()}, gpus, 16, 0.5)


def test_one_gpu_takes_one_training_after_the_other_and_scores_beside_the_next(workflow: Path) -> None:
    outcome = small(workflow, 1)
    trained = sorted((job for job in outcome.jobs if job.rule == "train"), key=lambda job: job.begun)
    assert [job.begun for job in trained] == [0.0, trained[0].ended, trained[1].ended]
    assert trained[-1].ended == 60.0 and outcome.wall_s == 65.0
    assert outcome.gpu_s == 60.0 and outcome.core_s == 60.0 + 3 * 2 * 5.0
    assert outcome.bound_s == 60.0 and outcome.utilisation == pytest.approx(60 / 65)


def test_with_a_gpu_for_each_the_longest_chain_is_the_wall_time(workflow: Path) -> None:
    outcome = small(workflow, 3)
    assert {job.name: (job.begun, job.ended) for job in outcome.jobs} == {
        "1.trained": (0, 10),
        "2.trained": (0, 20),
        "3.trained": (0, 30),
        "1.scored": (10, 15),
        "2.scored": (20, 25),
        "3.scored": (30, 35),
        "all": (35, 35),
    }
    assert [job.name for job in outcome.critical_path] == ["3.trained", "3.scored"]
    assert outcome.wall_s == outcome.critical_s == outcome.bound_s == 35.0
    times, used = in_use(outcome)
    assert list(zip(times, used, strict=True))[:3] == [(0, 3), (10, 2), (15, 2)] and used[-1] == 0


def test_a_job_that_nobody_gave_a_cost_is_named(workflow: Path) -> None:
    with pytest.raises(TdbenchError, match=r"[123]\.trained: the file of costs has no entry for this job"):
        simulate(workflow, {}, 1, 1, 1.0)


def test_processes_share_what_can_be_shared_at_the_stated_efficiency(tmp_path: Path) -> None:
    path = tmp_path / "Snakefile"
    path.write_text("rule one:\n    output: 'a'\n    resources: gpu=4\n    shell: 'false'\n")
    # 5 s as they are, and 80 s by four GPUs that are worth two.
    assert simulate(path, {"a": Cost(5.0, 80.0, "gpu")}, 4, 4, 0.5).wall_s == 45.0
    # Snakemake gives a job no more than there is.
    assert simulate(path, {"a": Cost(5.0, 80.0, "gpu")}, 1, 4, 0.5).wall_s == 85.0


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of the end-to-end tests with a job for each run."""
    yaml, path = YAML(), tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    shutil.copy(TINY, path)
    content = yaml.load(path)
    content["runs_per_job"] = 1
    yaml.dump(content, path)
    return path


@pytest.fixture(scope="module")
def outcomes(experiment: Path) -> dict[int, Outcome]:
    """The real Snakefile on one GPU and on four."""
    costs = costs_of(load_plans(str(experiment)), Path("results"), Rates(SPEED))
    more = ["--config", f"experiment={experiment}", "results=results"]
    return {gpus: simulate(ROOT / "Snakefile", costs, gpus, 4 * gpus, 0.9, *more) for gpus in (1, 4)}


def test_the_real_snakefile_is_done_whole_in_the_order_of_its_stages(outcomes: dict[int, Outcome]) -> None:
    runs = load_plan(str(TINY)).runs
    trainings = sum(run.trained_as is None for run in runs.values())
    for outcome in outcomes.values():
        counts = Counter(job.rule for job in outcome.jobs)
        assert counts["sample"] == counts["evaluate"] == len(runs) and counts["all"] == 1
        assert counts["train"] == trainings < len(runs)
        ended = {job.name: job.ended for job in outcome.jobs}
        assert all(job.begun >= ended[name] for job in outcome.jobs for name in job.needs)


def test_of_the_trainings_the_longest_begin_first(experiment: Path, outcomes: dict[int, Outcome]) -> None:
    ask = Requests(Workflow(load_plans(str(experiment)), Path("results")))
    trained = sorted((job for job in outcomes[1].jobs if job.rule == "train"), key=lambda job: job.begun)
    batches = [job.name.partition("/jobs/")[2].removesuffix("/train.json") for job in trained]
    ranks = [ask.priority("train")(SimpleNamespace(experiment="tiny", batch=batch)) for batch in batches]
    assert ranks == sorted(ranks, reverse=True) and len(set(ranks)) > 1


def test_no_schedule_beats_its_bounds_and_more_gpus_never_cost_more_gpu_hours(outcomes: dict[int, Outcome]) -> None:
    for outcome in outcomes.values():
        assert outcome.wall_s >= outcome.bound_s * (1 - 1e-9)
        assert outcome.bound_s >= max(outcome.critical_s, outcome.gpu_s / outcome.gpus)
        assert max(in_use(outcome)[1]) <= outcome.gpus
    assert outcomes[4].gpu_s == pytest.approx(outcomes[1].gpu_s)
    assert outcomes[4].wall_s <= outcomes[1].wall_s


def test_a_training_takes_its_operations_over_the_speed_of_a_gpu(
    experiment: Path, outcomes: dict[int, Outcome]
) -> None:
    plan = load_plan(str(experiment))
    for job in (job for job in outcomes[1].jobs if job.rule == "train"):
        run = plan.runs[job.name.partition("/jobs/")[2].removesuffix("/train.json")]
        assert job.seconds == pytest.approx(Rates(SPEED).start_s + run_budget(run).training_flops / 100e12)


def test_tables_and_picture_say_what_was_simulated(outcomes: dict[int, Outcome], tmp_path: Path) -> None:
    rows = [Row(SPEED, Setting("as it comes"), outcome) for outcome in outcomes.values()]
    text = as_markdown(rows)
    assert "| as it comes | 1 |" in text and "|  | 4 |" in text and "100 TFLOP/s (stated)" in text
    assert f"{len(outcomes[1].jobs)} jobs" in text
    draw(rows, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_settings_are_given_to_snakemake_as_resources_and_threads() -> None:
    plain, scored, shared = SETTINGS
    assert plain.options == []
    assert scored.options == ["--set-resources", "evaluate:processes=16", "--set-threads", "evaluate=16"]
    assert "train:gpu=8" in shared.options and "sample=8" in shared.options


def test_a_graph_of_many_jobs_has_as_many_as_asked_for(tmp_path: Path) -> None:
    plans = load_plans(str(write_experiment(tmp_path, 1000)))
    assert len(costs_of(plans, Path("results"), Rates(SPEED))) + 1 == pytest.approx(1000, abs=12)


def test_what_has_no_known_speed_is_refused_with_its_name(tmp_path: Path) -> None:
    text = TINY.read_text().replace("{source: digits}", "{source: folder, path: images, resolution: 8}")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(
        TdbenchError, match=r"mine\.yaml: datasets\.digits: source 'folder': its number of images is unknown"
    ):
        costs_of(load_plans(str(path)), Path("results"), Rates(SPEED))


def test_the_longest_chain_is_found_whatever_ended_last() -> None:
    jobs = [
        Job("a", "train", 0, 10, 1, 1, []),
        Job("b", "train", 10, 15, 1, 1, []),
        Job("c", "evaluate", 10, 18, 0, 1, ["a"]),
        Job("d", "evaluate", 15, 30, 0, 1, ["b"]),
    ]
    outcome = Outcome(jobs, 1, 2, 0.0, 0.0, 0.0)
    assert [job.name for job in outcome.critical_path] == ["b", "d"] and outcome.critical_s == 20
    assert np.isclose(outcome.utilisation, 0.5)


@pytest.mark.parametrize(
    ("seconds", "told"), [(30, "30 s"), (600, "10.0 min"), (36_000, "10.0 h"), (8.64e6, "100 d"), (864_000, "10.0 d")]
)
def test_durations_have_a_unit_that_reads_well(seconds: float, told: str) -> None:
    assert duration(seconds) == told
