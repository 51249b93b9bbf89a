"""The real Snakemake with the real libraries on the real digits, from an experiment file to report and MLflow."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from tdbench.evaluation.features import load_reference, save_reference
from tdbench.experiment.metrics import METRICS
from tests.conftest import ROOT
from tests.preloaded import preloaded
from tools.results.kept import Kept

pytestmark = pytest.mark.slow

# Baseline and TD, the longer baseline, and a case of the ablation, with two seeds each.
RUNS, TRAININGS = 8, 6
# Two scored snapshots of each run, and four of the longer baseline.
SNAPSHOTS = 6 * 2 + 2 * 4
COMPARISON, ABLATION = "digits/comparison/edm-1", "digits/ablation-weight/edm-1"
BASELINES = {"digits/edm-baseline-seed0", "digits/edm-baseline-seed1"}


class Project:
    """A copy of the project, so that its files can be changed, with a results folder whose name has a space."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "my results"
        for name in ("workflow", "tdbench"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Snakefile", folder)
        self.experiment = folder / "tiny.yaml"
        shutil.copy(ROOT / "tests" / "workflow" / "tiny.yaml", self.experiment)

    def call(self, name: str, *arguments: str, own_python: bool = False) -> subprocess.CompletedProcess[str]:
        """Call `tdbench` or `snakemake`; with ``own_python`` as the copy's package has it, imported anew."""
        program = [sys.executable, "-m", name] if own_python else [preloaded().program(name)]
        env = os.environ | {"PYTHONPATH": str(self.folder)}
        env.pop("MLFLOW_TRACKING_URI", None)
        return subprocess.run([*program, *arguments], cwd=self.folder, env=env, capture_output=True, text=True)

    def snakemake(
        self, *arguments: str, config: tuple[str, ...] = (), own_python: bool = False
    ) -> subprocess.CompletedProcess[str]:
        given = (f"experiment={self.experiment}", f"results={self.results}", *config)
        return self.call("snakemake", "--cores", "2", *arguments, "--config", *given, own_python=own_python)

    def tdbench(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call("tdbench", *arguments, "--results", str(self.results))

    def planned(self, *targets: str) -> list[tuple[str, str]]:
        """(rule, batch) of the jobs that Snakemake would do now."""
        done = self.snakemake("-n", *targets)
        assert done.returncode == 0, done.stderr
        output = done.stdout
        found = re.findall(r"rule (\w+):\n((?:    .*\n)*)", output)
        return [(rule, (re.search(r"batch=(\S+)", body) or [None, ""])[1]) for rule, body in found if rule != "all"]

    @contextmanager
    def changed(self, path: Path, old: str, new: str) -> Iterator[None]:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        try:
            yield
        finally:
            path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny experiment, run from beginning to end."""
    project = Project(tmp_path_factory.mktemp("project"))
    done = project.snakemake()
    assert done.returncode == 0, done.stderr[-6000:]
    return project


def output(project: Project, *parts: str) -> Path:
    return project.results.joinpath("tiny", *parts)


def test_everything_is_made(project: Project) -> None:
    for name in ("scores.parquet", "scores.csv", "runs.csv", "report.html", "mlflow.json"):
        assert output(project, name).stat().st_size > 0
    tables = ("comparison", "comparison-final", "consistency", "nearest", "cost", "cost-against-quality", "agreement")
    fair = ("comparison-equal-passes", "overall", "levels", "learning", "floor", "curves")
    for table in (*tables, *fair, "ablation-weight"):
        for suffix in ("csv", "md", "tex"):
            assert output(project, "tables", f"{table}.{suffix}").stat().st_size > 0
    kinds = ("training", "samples", "nearest", "curves")
    pictures = ("fid-against-nfe", "cost-against-quality", "consistency", *(f"{kind}-digits-edm" for kind in kinds))
    for figure in (*pictures, "ablation-weight"):
        assert output(project, "figures", f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert output(project, "figures", f"{figure}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in output(project, "figures", f"{figure}.svg").read_text()


def test_scores_are_complete_and_counted(project: Project) -> None:
    scores = pd.read_parquet(output(project, "scores.parquet"))
    # budgets x (snapshots x (metrics of both libraries and of one) and what only the last snapshot of a run has)
    assert len(scores) == 2 * (SNAPSHOTS * (2 * 2 + 3) + RUNS)
    assert dict(zip(scores.steps, scores.nfe, strict=True)) == {2: 3, 4: 7}
    assert set(scores.library) == {"clean-fid", "torch-fidelity"} and set(scores.metric) == set(METRICS)
    assert (scores.n == 128).all() and (scores.reference_n == 1797).all() and (scores.features == "classifier").all()
    pd.testing.assert_frame_equal(scores, pd.read_csv(output(project, "scores.csv")), check_dtype=False)


def test_libraries_agree(project: Project) -> None:
    agreed = pd.read_csv(output(project, "tables", "agreement.csv"))
    assert set(agreed["agree to 1e-3"]) == {"yes"} and set(agreed.metric) == {"fid", "kid"}
    assert (agreed["sample sets"] == SNAPSHOTS * 2).all()


def test_comparison_is_recomputed_from_the_scores(project: Project) -> None:
    scores, table = (
        pd.read_parquet(output(project, "scores.parquet")),
        pd.read_csv(output(project, "tables", "comparison.csv")),
    )
    # budgets x (metrics of both libraries and of one)
    assert len(table) == 2 * (2 * 2 + 4) and (table.n == 2).all()
    row = table[(table.metric == "fid") & (table.library == "torch-fidelity") & (table.steps == 4)].iloc[0]
    cell = scores[(scores.metric == "fid") & (scores.library == "torch-fidelity") & (scores.steps == 4)]
    means = cell.groupby(["objective", "seed"]).value.mean()
    assert row.td_mean == pytest.approx(means["td"].mean()) and row.baseline_std == pytest.approx(
        means["baseline"].std()
    )
    assert row.difference == pytest.approx((means["td"] - means["baseline"]).mean())


def table_of(project: Project, name: str) -> pd.DataFrame:
    return pd.read_csv(output(project, "tables", f"{name}.csv"))


def test_curves_are_scored_with_their_own_samples_and_stand_beside_images_passes_and_seconds(project: Project) -> None:
    curves = table_of(project, "curves")
    assert (curves.samples == 100).all() and set(curves.steps) == {4} and (curves.n == 2).all()
    td, base = (curves[curves.objective == name].sort_values("kimg") for name in ("td", "baseline"))
    assert len(td) == 6 and td.kimg.max() == 2.56 and base.kimg.max() == 3.392
    # Of the first images nearly all have a valid pair: 3 passes and the target's.
    assert (
        base.passes.to_numpy() == pytest.approx(3000 * base.kimg.to_numpy())
        and (td.passes / td.kimg).between(3900, 4000).all()
    )
    assert td.seconds.is_monotonic_increasing and td[["difference", "at_passes"]].notna().to_numpy().all()
    stored = json.loads(output(project, "runs", "digits", "edm-td-seed0", "scores.json").read_text())["curve"]
    assert len(stored) == 6 and {row["metric"] for row in stored} == {"fid"} and stored[0]["n"] == 100


def test_both_comparisons_levels_floor_and_marks_are_in_tables_and_page(project: Project) -> None:
    images, passes = table_of(project, "comparison"), table_of(project, "comparison-equal-passes")
    assert len(images) == len(passes) and (images.td_mean == passes.td_mean).all()
    assert not (images.baseline_mean == passes.baseline_mean).any()
    assert images.passes_ratio.between(1.3, 4 / 3).all() and passes.passes_ratio.between(0.98, 1.02).all()
    floor = table_of(project, "floor").set_index(["library", "samples"])
    assert set(floor.index.get_level_values("samples")) == {100, 128} and (floor.normal_std > 0).all()
    fid = images[images.metric == "fid"]
    assert (fid.floor == fid.library.map(floor.xs(128, level="samples").data_mean)).all()
    assert set(fid.baseline_training) | set(fid.objective_training) <= {
        "flattened",
        "still learning",
        "not shown to have flattened",
    }
    levels = table_of(project, "levels")
    assert levels.share.tolist() == [0.5, 0.75, 1.0] and (levels.n == 2).all() and (levels.ratio > 0).all()
    assert table_of(project, "overall")["at"].tolist() == ["equal images", "equal passes"]
    page = output(project, "report.html").read_text()
    for name in ("comparison-equal-passes", "overall", "levels", "learning", "floor", "curves"):
        assert f'id="table-{name}"' in page
    assert "At equal images TD changes the FID" in page and "at equal passes" in page and 'id="curves"' in page


def test_the_shorter_baseline_is_a_snapshot_of_the_longer_one(project: Project) -> None:
    runs = output(project, "runs", "digits")
    assert not (runs / "edm-baseline-3.392kimg-seed0" / "snapshots").exists()
    shown = {int(path.stem) for path in (runs / "edm-baseline-seed0" / "snapshots").iterdir()}
    assert {2560, 3392} <= shown
    cost = table_of(project, "cost").set_index("objective")
    assert cost["passes, × baseline"].to_dict() == {"baseline": 1.0, "td": pytest.approx(4 / 3, abs=0.02)}
    costs = pd.read_csv(output(project, "runs.csv")).set_index("run")
    short, longer = (costs.loc[f"digits/edm-baseline-{name}seed0"] for name in ("", "3.392kimg-"))
    assert short.network_passes == 3 * 2560 and longer.network_passes == 3 * 3392
    assert short.training_seconds < longer.training_seconds


def test_latex_is_booktabs_and_markdown_is_readable(project: Project) -> None:
    tex = output(project, "tables", "ablation-weight.tex").read_text()
    assert r"\toprule" in tex and r"\bottomrule" in tex and r"\ensuremath{\pm}" in tex
    markdown = output(project, "tables", "ablation-weight.md").read_text()
    assert "weight = constant" in markdown and "4 steps (NFE 7)" in markdown


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: dict[str, int] = {}
        self.unnamed_images = 0
        self.styles: list[str] = []
        self._within = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._within = tag
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.sources += [v for k, v in given.items() if k in ("src", "href") and v]
        self.unnamed_images += tag == "img" and not given.get("alt")

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.styles.append(data)


def test_page_is_self_contained_and_shows_all(project: Project) -> None:
    text = output(project, "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert all(s.startswith(("data:", "#")) for s in page.sources)
    style = "".join(page.styles)
    assert "prefers-color-scheme" in style and "url(" not in style and "@import" not in style
    assert page.tags["table"] >= 10 and page.tags["img"] >= 4 and page.unnamed_images == 0
    for words in ("held-out images right", "weight = constant", "agree to 1e-3", "undecided", "n = 2 seeds"):
        assert words in text


def test_report_command_prints_the_table_and_paths(project: Project) -> None:
    shown = project.tdbench("show", str(project.experiment)).stdout
    assert "TD − baseline [95 %]" in shown and shown.rstrip().endswith(str(output(project, "report.html")))


def test_a_second_call_has_nothing_to_do(project: Project) -> None:
    done = project.snakemake()
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr


def test_comments_retrain_nothing(project: Project) -> None:
    rule, module = project.folder / "workflow/rules/train.smk", project.folder / "tdbench/training/loop.py"
    with (
        project.changed(rule, "rule train:", "# a remark\nrule train:"),
        project.changed(module, "import torch\n", "import torch  # a remark\n"),
    ):
        done = project.snakemake("-n", own_python=True)
    assert done.returncode == 0 and "Nothing to be done" in done.stderr + done.stdout


def test_changing_lambda_retrains_exactly_the_runs_it_touches(project: Project) -> None:
    with project.changed(project.experiment, "lambda: 0.5", "lambda: 0.4"):
        planned = project.planned()
        assert not {rule for rule, _ in planned} & {"data", "classifier", "reference"}
        assert {batch for rule, batch in planned if rule == "train"} == {COMPARISON, ABLATION}
        again = project.folder / "other lambda"
        shutil.copytree(project.results, again)
        made = {path: path.stat().st_mtime_ns for path in (again / "tiny" / "runs").rglob("snapshots.json")}
        done = project.call(
            "snakemake",
            "--cores",
            "2",
            "--forcerun",
            "train",
            "--until",
            "train",
            "--config",
            f"experiment={project.experiment}",
            f"results={again}",
        )
    assert done.returncode == 0, done.stderr[-3000:]
    kept = {f"digits/{path.parent.name}" for path, before in made.items() if path.stat().st_mtime_ns == before}
    assert len(made) == TRAININGS and kept == BASELINES
    assert "already finished, kept" in done.stderr


def test_changing_the_step_budgets_samples_anew_and_retrains_nothing(project: Project) -> None:
    with project.changed(project.experiment, "steps: [2, 4]", "steps: [2, 4, 6]"):
        rules = [rule for rule, _ in project.planned()]
    assert rules.count("sample") == rules.count("evaluate") == 2 and "train" not in rules


def test_a_run_whose_files_are_deleted_is_done_again(project: Project) -> None:
    lost = output(project, "runs", "digits", "edm-td-seed1", "snapshots.json")
    kept = lost.read_bytes()
    marker = output(project, "jobs", COMPARISON, "train.json")
    times = lost.stat(), marker.stat()
    saved = marker.read_bytes()
    lost.unlink()
    try:
        # As always, what is missing in the middle is made once something asks for it.
        assert project.planned(str(marker)) == [("train", COMPARISON)]
    finally:
        for path, content, before in ((lost, kept, times[0]), (marker, saved, times[1])):
            path.write_bytes(content)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.planned() == []


@pytest.mark.parametrize(
    ("stage", "file", "follows"), [("train", "snapshots.json", "sample"), ("evaluate", "scores.json", "page_tiny")]
)
def test_a_stage_done_by_hand_is_followed_by_the_next(project: Project, stage: str, file: str, follows: str) -> None:
    made = output(project, "runs", "digits", "edm-td-seed1", file)
    marker = output(project, "jobs", COMPARISON, f"{stage}.json")
    saved, times = marker.read_bytes(), (made.stat(), marker.stat())
    os.utime(made)  # as the command leaves it
    try:
        rules = {rule for rule, _ in project.planned()}
        assert follows in rules and stage not in rules
    finally:
        marker.write_bytes(saved)
        for path, before in zip((made, marker), times, strict=True):
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert project.planned() == []


def test_the_same_run_twice_gives_the_same_bytes(project: Project) -> None:
    """Each stage by hand, in new processes and another folder, against what Snakemake made."""
    run, again = "digits/edm-td-seed1", project.folder / "again"
    shutil.copytree(project.results / "datasets", again / "datasets")
    for stage in ("train", "sample", "evaluate"):
        done = project.call("tdbench", stage, str(project.experiment), run, "--results", str(again), own_python=True)
        assert done.returncode == 0, done.stderr
    first, second = (folder / "tiny" / "runs" / run for folder in (project.results, again))
    weights = sorted(p.name for p in (first / "snapshots").iterdir())
    # One each 320 images, and four of the six points of its curve between them.
    assert len(weights) == 8 + 4
    for name in weights:
        assert digest(first / "snapshots" / name) == digest(second / "snapshots" / name)
    kept = ("metric", "library", "steps", "snapshot_kimg", "samples", "value")
    stored = [json.loads((f / "scores.json").read_text()) for f in (first, second)]
    values = [[[s[k] for k in kept] for s in (*scores["scores"], *scores["curve"])] for scores in stored]
    assert values[0] == values[1]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_mlflow_has_every_run_once_however_often_tracked(project: Project) -> None:
    from mlflow import MlflowClient

    for _ in range(2):
        client = MlflowClient(f"sqlite:///{project.results / 'mlflow' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("tiny")
        found = client.search_runs([experiment.experiment_id])
        runs = {r.data.tags["tdbench.run"]: r for r in found if r.data.tags["tdbench.kind"] != "snapshot"}
        assert len(runs) == RUNS + 1 and len(found) == len(runs) + SNAPSHOTS
        run = runs["digits/edm-td-seed0"]
        assert run.data.params["objective.lambda"] == "0.5" and run.info.status == "FINISHED"
        assert len(run.data.tags["tdbench.data_sha256"]) == 64 and run.data.tags["mlflow.source.git.commit"]
        assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == list(range(5, 41, 5))
        nested = [r for r in found if r.data.tags.get("mlflow.parentRunId") == run.info.run_id]
        assert sorted(r.data.tags["tdbench.snapshot"] for r in nested) == ["2240", "2560"]
        for scored in (run, *nested):
            by_nfe = client.get_metric_history(scored.info.run_id, "fid/clean-fid")
            assert sorted(m.step for m in by_nfe) == [3, 7]
        files = {a.path for a in client.list_artifacts(run.info.run_id)}
        assert files == {"run.json", "metrics.jsonl", "snapshots.json", "samples.json", "scores.json"}
        assert "report.html" in {a.path for a in client.list_artifacts(runs["report"].info.run_id)}
        assert project.tdbench("track", str(project.experiment)).returncode == 0


def test_two_experiments_that_are_tracked_at_once_make_one_store(project: Project) -> None:
    """As the jobs of a collection may be."""
    with TemporaryDirectory(dir=project.folder) as folder:
        results = Path(folder)
        shutil.copytree(project.results / "tiny", results / "tiny")
        other = project.folder / "other.yaml"
        other.write_text(project.experiment.read_text().replace("name: tiny", "name: other"))
        shutil.copytree(project.results / "tiny", results / "other")
        for path in results.joinpath("other", "runs").rglob("run.json"):
            path.write_text(path.read_text().replace('"experiment": "tiny"', '"experiment": "other"'))
        command = [preloaded().program("tdbench"), "track"]
        env = os.environ | {"PYTHONPATH": str(project.folder)}
        env.pop("MLFLOW_TRACKING_URI", None)
        both = [
            subprocess.Popen(
                [*command, str(path), "--results", folder], cwd=project.folder, env=env, stderr=subprocess.PIPE
            )
            for path in (project.experiment, other)
        ]
        said = [process.communicate()[1].decode() for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        tracked = [json.loads((results / name / "mlflow.json").read_text()) for name in ("tiny", "other")]
        assert all(len(record["runs"]) == RUNS + 1 for record in tracked)


def test_what_is_exported_is_whole_and_compared_as_results_are(project: Project) -> None:
    with TemporaryDirectory(dir=project.folder) as folder:
        path, crate = Path(folder) / "tiny.crate.zip", Path(folder) / "crate"
        done = project.tdbench("export", str(project.experiment), "--output", str(path))
        assert done.returncode == 0, done.stderr
        assert "of weights, " in done.stdout and path.stat().st_size < 5e6
        checked = project.call("tdbench", "check-crate", str(path))
        assert checked.returncode == 0 and "complete: " in checked.stdout, checked.stdout
        shutil.unpack_archive(path, crate)
        compared = project.call("tdbench", "compare", str(crate), str(project.results))
        assert compared.returncode == 0 and "A and B are the same." in compared.stdout, compared.stdout
        with (crate / "tiny" / "scores.csv").open("a") as file:
            file.write("\n")
        checked = project.call("tdbench", "check-crate", str(crate))
        assert checked.returncode == 1 and checked.stdout.startswith("tiny/scores.csv: longer than the ")


def test_the_plan_says_what_it_took(project: Project) -> None:
    said = dict(
        re.findall(r"^(\w[\w ,]*?)  +([\d,]+)", project.call("tdbench", "plan", str(project.experiment)).stdout, re.M)
    )
    numbers = {key: int(value.replace(",", "")) for key, value in said.items()}
    total = re.search(r"total +(\d+)", project.snakemake("-n", "--forceall").stdout)
    assert total is not None and numbers["jobs"] == int(total[1]) - 1  # less the target rule `all`
    scores = pd.read_parquet(output(project, "scores.parquet"))
    sets = scores[(scores.metric == "fid") & (scores.library == "clean-fid")]
    folder = output(project, "runs", "digits")
    stored = [json.loads(path.read_text()) for path in folder.glob("*/scores.json")]
    curve = pd.DataFrame([row for scores in stored for row in scores["curve"]])
    every = pd.concat([sets[["n", "nfe"]], curve[["n", "nfe"]]])
    assert numbers["images sampled"] == every.n.sum() and numbers["network evaluations"] == (every.n * every.nfe).sum()
    finished = [json.loads(path.read_text())["snapshots"][-1] for path in folder.glob("*/snapshots.json")]
    assert numbers["images shown in training"] == sum(entry["images"] for entry in finished)
    passes = sum(entry["network_passes"] + entry["target_passes"] for entry in finished)
    assert numbers["passes of images"] == pytest.approx(passes, rel=0.01)
    disk = sum(p.stat().st_size for p in folder.rglob("*") if p.suffix in (".safetensors", ".npz"))
    assert numbers["disk, MB"] * 1e6 == pytest.approx(disk, rel=0.1)


def test_snakemakes_own_report(project: Project) -> None:
    done = project.snakemake("--report", "workflow-report.zip")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (project.folder / "workflow-report.zip").stat().st_size > 100_000


def test_parts_are_targets(project: Project) -> None:
    for target in ("comparison", "ablations"):
        done = project.snakemake(target)
        assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr
    shutil.copytree(project.folder / "workflow", project.folder / "fresh" / "workflow")
    fresh = project.call(
        "snakemake", "-n", "-p", "comparison", "--config", f"experiment={project.experiment}", "results=elsewhere"
    ).stdout
    assert ABLATION not in fresh and COMPARISON in fresh
    assert "weight-constant" not in fresh and "edm-td-seed1" in fresh


def test_an_experiment_without_ablations_is_planned(project: Project) -> None:
    text = project.experiment.read_text()
    path = project.folder / "plain.yaml"
    path.write_text(text[: text.index("ablations:")].replace("name: tiny", "name: plain"))
    done = project.call("snakemake", "-n", "--config", f"experiment={path}")
    assert done.returncode == 0 and "ablation_tables" not in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lambda: 0.5", "lambda: -1", "objectives.td.lambda: -1: should be greater than or equal to 0"),
        ("edm: {}", "ddqm: {}", "formulations.ddqm: kind 'ddqm': no such formulation (did you mean 'ddpm'?); known"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nsedes: 3", "sedes: 3: unknown key"),
    ],
)
def test_a_bad_experiment_stops_snakemake_before_anything_runs(
    project: Project, old: str, new: str, words: str
) -> None:
    with project.changed(project.experiment, old, new):
        done = project.snakemake()
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and f"tdbench: error: {project.experiment}: {words}" in done.stderr
    assert "job" not in done.stdout


def test_a_results_folder_that_cannot_be_written_and_an_unknown_config_key(project: Project) -> None:
    blocked = project.folder / "a file"
    blocked.write_text("")
    done = project.call(
        "snakemake", "-n", "--config", f"experiment={project.experiment}", f"results={blocked / 'results'}"
    )
    assert done.returncode == 2 and "the folder cannot be written" in done.stderr and "Traceback" not in done.stderr
    done = project.snakemake("-n", config=("experment=digits",))
    assert done.returncode == 2 and "unknown key; known: experiment, results" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lambda: 0.5", "lambda: 0.4", "was trained with other settings"),
        ("steps: [2, 4]", "steps: [2, 6]", "samples.json: made with other snapshots or settings"),
        ("kid_subsets: 5", "kid_subsets: 6", "scores.json: computed from other samples or settings"),
    ],
)
def test_stale_results_are_not_reported(project: Project, old: str, new: str, words: str) -> None:
    """A report by hand, after the experiment changed and before the stage was run again, refuses."""
    with project.changed(project.experiment, old, new):
        done = project.tdbench("report", str(project.experiment))
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def test_published_figures_stand_in_the_page_and_a_missing_file_stops_before_anything_runs(project: Project) -> None:
    with project.changed(project.experiment, "name: tiny", "name: tiny\npublished: [nothing]"):
        done = project.snakemake("-n")
    assert (
        done.returncode == 2 and "published: 'nothing': no such file" in done.stderr and "Traceback" not in done.stderr
    )
    folder = project.folder / "results" / "published"
    folder.mkdir(parents=True)
    head = (ROOT / "results" / "published" / "main.csv").read_text().splitlines()[0]
    figure = "digits,8,U-Net,,edm,td,4,fid,classifier,,128,last,1.5,,somebody's paper"
    (folder / "mine.csv").write_text(f"{head}\n{figure}\n")
    with project.changed(project.experiment, "name: tiny", "name: tiny\npublished: [mine]"):
        # Published figures lie beside the package, here beside its copy.
        report = ("report", str(project.experiment), "--part", "page", "--results", str(project.results))
        done = project.call("tdbench", *report, own_python=True)
    assert done.returncode == 0, done.stderr
    page = output(project, "report.html").read_text()
    assert "Published figures" in page and "somebody&#39;s paper" in page


@pytest.fixture(scope="module")
def shards(project: Project) -> tuple[Path, Path]:
    """Results of two machines, with a seed each: the second runs Snakemake, the first has what was made already."""
    first, second = project.folder / "machine a", project.folder / "machine b"
    shutil.copytree(project.results / "datasets", first / "datasets")
    for run in output(project, "runs", "digits").glob("*-seed0"):
        shutil.copytree(run, first / "tiny" / "runs" / "digits" / run.name)
    given = (f"experiment={project.experiment}", f"results={second}", "only=seed=1")
    done = project.call("snakemake", "--cores", "2", "--config", *given)
    assert done.returncode == 0, done.stderr[-3000:]
    return first, second


def merged(project: Project, folders: tuple[Path, ...], results: Path) -> subprocess.CompletedProcess[str]:
    named = (str(project.experiment), *map(str, folders), "--results", str(results))
    return project.call("tdbench", "merge", *named)


def test_a_shard_has_its_seed_alone_and_says_so(project: Project, shards: tuple[Path, Path]) -> None:
    second = shards[1] / "tiny"
    assert {path.name[-5:] for path in (second / "runs" / "digits").iterdir()} == {"seed1"}
    assert "by <code>--only seed=1</code>: seeds 1 of 0, 1." in (second / "report.html").read_text()
    assert json.loads((second / "plan.json").read_text())["only"] == "seed=1"
    again = project.call(
        "snakemake", "-n", "--config", f"experiment={project.experiment}", f"results={shards[1]}", "only=seed=1"
    )
    assert "Nothing to be done" in again.stdout + again.stderr


def test_merged_shards_are_what_one_machine_makes(project: Project, shards: tuple[Path, Path]) -> None:
    """To the bit; and merging again, or one shard alone, changes nothing."""
    results = project.folder / "merged"
    one = merged(project, shards[:1], results)
    assert "tiny: 1 of 2 seeds are complete: 0" in one.stdout and "only=seed=0`" in one.stdout, one.stderr
    done = merged(project, shards, results)
    assert done.returncode == 0 and "2 of 2 seeds are complete: 0, 1" in done.stdout, done.stderr
    command = shlex.split(done.stdout.split("`")[1])
    reported = project.call(*command)
    assert reported.returncode == 0, reported.stderr[-3000:]
    # Scores are the records' own; nothing was trained, sampled or scored again.
    assert not re.search(r"rule (train|sample|evaluate):", reported.stderr + reported.stdout)
    compared = project.call("tdbench", "compare", str(project.results), str(results))
    assert compared.returncode == 0 and "A and B are the same." in compared.stdout, compared.stdout


def _changed_json(path: Path, **changes: object) -> None:
    """Change values of a JSON file, by dotted key with __ for dots, in place of what its hard links share."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, leaf = key.split("__")
        block = content
        for parent in parents:
            block = block[int(parent) if isinstance(block, list) else parent]
        block[leaf] = value
    path.write_text(json.dumps(content))


def _other_settings(shard: Path) -> None:
    _changed_json(shard / "tiny/runs/digits/edm-td-seed1/run.json", run__training__learning_rate=0.5)


def _other_code(shard: Path) -> None:
    for path in (shard / "tiny/runs/digits").glob("*/run.json"):
        _changed_json(path, parts__0__provenance__code_sha256="0" * 64, parts__0__provenance__git_commit="f" * 40)


def _other_torch(shard: Path) -> None:
    _changed_json(shard / "tiny/runs/digits/edm-td-seed1/run.json", parts__0__provenance__versions__torch="1.0")


def _other_data(shard: Path) -> None:
    archive = shard / "datasets/digits/archive.zip"
    archive.write_bytes(archive.read_bytes() + b"\0")


def _other_features(shard: Path) -> None:
    path = shard / "datasets/digits/reference-classifier-clean-fid.npz"
    found = load_reference(path)
    save_reference(path, replace(found, features=found.features + 1e-6))


def _damaged_snapshot(shard: Path) -> None:
    path = next((shard / "tiny/runs/digits/edm-td-seed1/snapshots").iterdir())
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_other_settings, "edm-td-seed1/run.json: was trained with other settings than the experiment's"),
        (_other_code, "was made by the code of commit ffffffffffff"),
        (_other_torch, "was made with torch 1.0, and"),
        (_other_data, "archive.zip: holds other images than"),
        (_other_features, "holds other features of the data than"),
        (_damaged_snapshot, "missing or changed since it was written"),
    ],
    ids=["settings", "code", "torch", "data", "features", "damaged"],
)
def test_shards_that_do_not_fit_together_are_refused(
    spoil: Callable[[Path], None], said: str, project: Project, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    """In a line that names the shard; nothing is copied."""
    other = tmp_path / "machine c"
    shutil.copytree(shards[1], other)
    spoil(other)
    done = merged(project, (shards[0], other), tmp_path / "merged")
    assert done.returncode == 2 and said in done.stderr and "machine c" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "merged").exists()


def test_a_folder_without_runs_is_refused(project: Project, shards: tuple[Path, Path], tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "no runs of tiny in it")):
        done = merged(project, (shards[0], folder), tmp_path / "merged")
        assert done.returncode == 2 and f"{folder}: {said}; give a results folder" in done.stderr


def test_trainings_and_samples_of_another_experiment_are_taken_over(
    project: Project, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    """One that scores the same samples otherwise: the stages before scoring have nothing to do."""
    other, results = tmp_path / "other.yaml", tmp_path / "results"
    text = project.experiment.read_text().replace("name: tiny", "name: other")
    other.write_text(text.replace("kid_subset_size: 64", "kid_subset_size: 32"))
    done = project.call(
        "tdbench", "merge", str(other), str(shards[0] / "tiny"), "--only", "seed=0", "--results", str(results)
    )
    assert done.returncode == 0 and "0 of 1 seeds are complete: none" in done.stdout, done.stderr
    run = ("edm-td-seed0", "--results", str(results), "--keep-finished")
    for stage in ("train", "sample"):
        kept = project.call("tdbench", stage, str(other), *run)
        assert kept.returncode == 0 and "already finished, kept" in kept.stderr, kept.stderr
    scored = project.call("tdbench", "evaluate", str(other), *run)
    assert scored.returncode == 0 and "kept" not in scored.stderr, scored.stderr


def test_reference_results_are_kept_of_committed_code_and_compare_as_equal(project: Project, tmp_path: Path) -> None:
    """Small tables with all that makes them traceable; a reproduction has the same scores to the bit."""
    results, kept = tmp_path / "results", tmp_path / "reference"
    shutil.copytree(project.results, results)
    for path in (results / "tiny" / "runs").rglob("*.json"):
        path.write_text(re.sub(r'("git_commit": ")[^"]+', rf"\g<1>{'a' * 40}", path.read_text()))
    named = (str(project.experiment), "--output", str(kept), "--results", str(results))
    done = project.call("tdbench", "keep", *named)
    assert done.returncode == 0, done.stderr
    record = json.loads((kept / "tiny" / "reference.json").read_text())
    assert record["commits"] == ["a" * 40] and record["seeds"] == [0, 1] and record["trainings"] == TRAININGS
    assert record["settings"]["training"]["batch_size"] == 64 and record["stages"]["train"]["seconds"] > 0
    assert record["data"]["digits"]["images"] == 1797
    tables = {path.stem for path in (kept / "tiny" / "tables").iterdir()}
    assert {"comparison", "comparison-equal-passes", "curves", "learning", "ablation-weight"} <= tables
    table = pd.read_csv(kept / "tiny" / "tables" / "comparison.csv")
    expected = table_of(project, "comparison")
    expected = expected[expected.library == expected.groupby("metric").library.transform("first")]
    pd.testing.assert_series_equal(table.difference, expected.difference.reset_index(drop=True), rtol=1e-6)
    assert (pd.read_csv(kept / "tiny" / "tables" / "consistency.csv").library == "tdbench").all()
    assert len(table_of(project, "consistency")) == len(pd.read_csv(kept / "tiny" / "tables" / "consistency.csv")) > 0
    for made in (project.results, project.results / "tiny"):
        compared = project.call("tdbench", "compare", str(made), str(kept), "--brief")
        assert compared.returncode == 0 and "cells equal, 0 the same within noise, 0 different" in compared.stdout
    shown = Kept(kept / "tiny")
    assert shown.headline.startswith("At equal images TD changes the FID of its baseline by")
    assert shown.both().count("\n") == 3 and "undecided" in shown.both() and "| 2 " in shown.both()
    assert shown.counts()["rows"] == 2 and shown.counts("fid", passes=True)["decided"] == 0
    assert "baseline-" in shown.learning()
    assert "**" in shown.search("weight") and "constant" in dict(shown.ablations())["weight"]
    # Made by changed code.
    path = results / "tiny" / "runs" / "digits" / "edm-td-seed0" / "run.json"
    path.write_text(path.read_text().replace("a" * 40, f"{'a' * 40}-dirty"))
    refused = project.call("tdbench", "keep", *named)
    assert refused.returncode == 2 and "with changes that are in no commit" in refused.stderr
    (kept / "tiny" / "reference.json").unlink()
    path.write_text(path.read_text().replace("-dirty", ""))
    refused = project.call("tdbench", "keep", *named)
    assert refused.returncode == 2 and "is no folder of reference results" in refused.stderr
