"""A page of the default experiment's shape from made-up scores, which takes seconds where trainings take minutes."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tdbench.data.archive import read_archive, write_archive
from tdbench.diffusion.samplers import count_evaluations
from tdbench.evaluation.classifier import train_classifier
from tdbench.evaluation.floor import write_floors
from tdbench.evaluation.scores import write_references
from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan, runs_of
from tdbench.experiment.run import Run
from tdbench.records.floor import Floor, Spread
from tdbench.records.layout import DatasetLayout, ReportLayout, RunLayout
from tdbench.records.rows import PARTS
from tdbench.reporting.collect import CURVE_COLUMNS, MECHANISM_COLUMNS
from tdbench.reporting.findings import Findings
from tdbench.reporting.page.html import write_html
from tdbench.reporting.report import write_part
from tdbench.reporting.status.plan_file import write_plan_file
from tdbench.runtime import provenance as origins
from tdbench.runtime.files import write_json
from tdbench.runtime.provenance import provenance
from tdbench.workflow.stages import do_stage
from tests.conftest import ROOT

FAILED, RESUMED = "digits/vp-td-seed1", "digits/edm-td-seed0"
DESCRIPTION = "Six formulations </script><script>console.error('not escaped')</script> & more"
_LEVELS = {"ddpm": 29.0, "ddim": 53.0, "vp": 54.0, "ve": 102.0, "edm": 9.0, "ct": 31.0}
_EFFECTS = {"ddpm": 1.4, "ddim": 1.3, "vp": 2.4, "ve": 1.1, "edm": 0.95, "ct": 1.0}


class MadePage(NamedTuple):
    """report.html, and what it was made from."""

    path: Path
    plan: Plan
    scores: pd.DataFrame


@pytest.fixture(scope="session")
def made_page(tmp_path_factory: pytest.TempPathFactory) -> MadePage:
    return make_page(tmp_path_factory.mktemp("page"), description=DESCRIPTION)


def make_page(folder: Path, **changes: Any) -> MadePage:
    """A page of the default experiment with other settings."""
    content = YAML(typ="safe", pure=True).load(ROOT / "workflow" / "experiments" / "digits.yaml")
    YAML().dump(content | changes, folder / "made.yaml")
    plan, results = load_plan(str(folder / "made.yaml")), folder / "results"
    found = MadeUp(plan, results)
    _write_records(plan, results)
    _write_figures(plan, results)
    write_html(found)
    return MadePage(found.layout.html, plan, found.scores("all"))


class MadeUp(Findings):
    """Findings of runs that were never made."""

    def scores(self, part: str) -> pd.DataFrame:
        return self._once(("scores", part), lambda: _scores(runs_of(self.plan, part)))

    def runs(self, part: str) -> pd.DataFrame:
        return _runs(runs_of(self.plan, part))

    @property
    def consistency(self) -> pd.DataFrame:
        return _consistency(self.plan)

    @property
    def mechanism(self) -> pd.DataFrame:
        return _mechanism(self.plan)

    @property
    def curve_scores(self) -> pd.DataFrame:
        return _curves(self.plan)

    @property
    def floors(self) -> dict[tuple[str, str, int], Floor]:
        return {
            (dataset, library, samples): Floor(
                library=library,
                samples=samples,
                images=1797,
                normal=Spread(mean=2.6, std=0.2, draws=20),
                data=Spread(mean=3.5, std=0.3, draws=20),
            )
            for dataset, counts in self.plan.floors.items()
            for samples in counts
            for library in self.plan.libraries(dataset)
        }

    @property
    def nearest(self) -> pd.DataFrame:
        return _nearest(self.plan)


def _mechanism(plan: Plan) -> pd.DataFrame:
    """A variance that falls towards the data; the lag is measured in half of the runs."""
    rows = []
    for run in plan.comparison:
        if run.mechanism_td is None:
            continue
        for index, level in enumerate((80.0, 5.0, 0.5, 0.01)):
            row = {"dataset": run.dataset_name, "formulation": run.formulation_name, "objective": run.objective_name}
            row |= {"seed": run.seed, "run": run.name, "batch_size": 64, "index": float(index), "noise_level": level}
            row |= {"share": 0.25, "valid": 1.0, "variance": 0.2 / (1 + index), "correlation": 0.9, "beta": 0.6}
            row |= {"best_beta": 1.0, "remaining": 0.3 + 0.15 * index + 0.01 * run.seed, "size": 1.1}
            row |= {"lag": 0.02 if run.objective.kind == "td" else np.nan, "noise_variance": 3.0, "noise_mean": 0.1}
            rows.append(row | {"noise_td_variance": 2.0, "noise_td_mean": 0.1 if index else -0.1})
    return pd.DataFrame(rows, columns=MECHANISM_COLUMNS)


def _scores(runs: list[Run]) -> pd.DataFrame:
    """FID from 5 to 250, KID that is negative at times, and a metric of one library of which higher is better."""
    rows = []
    for run in runs:
        # The same, whichever other runs there are.
        random = np.random.default_rng(list(run.name.encode()))
        name, treated = run.formulation_name, run.objective.kind != "baseline"
        level = _LEVELS[name] * (_EFFECTS[name] if treated else 1.0) * (1 + 0.05 * run.seed)
        for steps in run.sampling.steps:
            fid = level * (1 + 2 / steps) * random.lognormal(0, 0.03)
            nfe = count_evaluations(run.sampling.sampler, run.formulation, steps)
            identity = {
                "dataset": run.dataset_name,
                "formulation": name,
                "objective": run.objective_name,
                "seed": run.seed,
                "run": run.name,
                "snapshot_kimg": 25.6,
                "steps": steps,
                "nfe": nfe,
                "features": "classifier",
                "resize": "native",
            }
            for library in run.evaluation.libraries:
                values = {"fid": fid, "kid": fid / 1000 - 0.02}
                values |= {"precision": 1 / (1 + fid / 50)} if library == "torch-fidelity" else {}
                rows += [
                    identity | {"library": library, "metric": metric, "value": value}
                    for metric, value in values.items()
                    if metric in run.evaluation.metrics
                ]
    return pd.DataFrame(rows)


def _curves(plan: Plan) -> pd.DataFrame:
    """Curves that fall as a power: EDM's have flattened, the others still learn."""
    rows = []
    for run in (*plan.comparison, *plan.longer):
        treated = run.objective.kind != "baseline"
        random = np.random.default_rng([1, *run.name.encode()])
        name = run.formulation_name
        level = _LEVELS[name] * (_EFFECTS[name] if treated else 1.0) * (1 + 0.05 * run.seed)
        for steps in run.curve_steps:
            for images in run.curve_snapshots:
                fall = (images / 25_600) ** (-0.02 if name == "edm" else -0.8)
                rows.append(
                    {
                        "dataset": run.dataset_name,
                        "formulation": name,
                        "metric": run.evaluation.curve_metric,
                        "library": run.evaluation.libraries[0],
                        "features": "classifier",
                        "steps": steps,
                        "nfe": count_evaluations(run.sampling.sampler, run.formulation, steps),
                        "samples": run.curve_images,
                        "objective": run.objective_name if run in plan.comparison else plan.experiment.baseline,
                        "seed": run.seed,
                        "run": run.name,
                        "images": images,
                        "kimg": images / 1000,
                        "passes": images * (4.0 if treated or name == "ct" else 3.0),
                        "seconds": images / 2000 * (1.35 if treated else 1.0),
                        "value": level * fall * random.lognormal(0, 0.01),
                    }
                )
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def _consistency(plan: Plan) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": run.dataset_name,
                "formulation": run.formulation_name,
                "objective": run.objective_name,
                "seed": run.seed,
                "run": run.name,
                "library": "tdbench",
                "features": "none",
                "metric": "residual",
                "steps": 0,
                "nfe": 0,
                "value": 0.4 + 0.01 * run.seed - 0.1 * (run.objective.kind != "baseline"),
            }
            for run in plan.comparison
        ]
    )


def _nearest(plan: Plan) -> pd.DataFrame:
    cells = dict.fromkeys((r.dataset_name, r.formulation_name, r.objective_name) for r in plan.comparison)
    names = ["dataset", "formulation", "objective", "steps", "samples", "share", "share_std", "nearest", "n"]
    return pd.DataFrame([(*cell, 12, 500, 0.012, 0.004, 0.5, 3) for cell in cells], columns=names)


def _runs(runs: list[Run]) -> pd.DataFrame:
    rows = []
    for run in runs:
        treated = run.objective.kind != "baseline"
        rows.append(
            {
                "dataset": run.dataset_name,
                "formulation": run.formulation_name,
                "objective": run.objective_name,
                "seed": run.seed,
                "run": run.name,
                "parameters": 164625,
                "training_seconds": (14.0 + run.seed) * (1.35 if treated else 1.0),
                "memory_mb": 905.0 + 4 * treated,
                "kimg": 25.6,
                "loss": 0.3,
                "valid_share": 0.9,
                "device": "cpu",
                "threads": 1,
                "network_calls": 1,
                "target_calls": int(treated),
                "network_passes": 3 * run.last_images,
                "target_passes": run.last_images * int(treated or run.formulation.own_target),
                "data": "a1" * 32,
                "git_commit": "0" * 40,
                "torch": "2.12.0",
                "started_at": "2026-01-01T00:00:00+00:00",
            }
        )
    return pd.DataFrame(rows)


def _write_records(plan: Plan, results: Path) -> None:
    """What stages leave behind, as far as the page reads it."""
    files = DatasetLayout(results, "digits")
    write_json(files.summary, {"sha256": "a1" * 32, "images": 1797, "resolution": 8, "channels": 1, "classes": 10})
    write_json(
        files.classifier_report,
        {"test_accuracy": 0.99, "test_images": 360, "channels": 1, "classes": 10, "sha256": "b" * 64}
        | {"provenance": provenance()},
    )
    origin = provenance()
    hardware = {"device": "cpu", "threads": 1, "processor": "x86_64", "logical_cpus": 2}
    for run in plan.runs.values():
        layout = RunLayout(results, run)
        begun = [0, 120] if run.name == RESUMED else [0]
        parts = [{"from_step": step, "hardware": hardware, "provenance": origin} for step in begun]
        data = {"sha256": "a1" * 32, "images": 1797, "resolution": 8, "channels": 1, "classes": 10}
        facts = {"run": {}, "data": data, "parameters": 164625, "hardware": hardware}
        write_json(layout.settings, facts | {"parts": parts, "provenance": origin})
        write_json(layout.snapshots, {"snapshots": [{"images": run.training.images_at(run.training.steps)}]})
        write_json(layout.samples, {"samples": list(run.sampling.steps)})
        write_json(layout.scores, {"scores": []})
        lines = _log(run)
        layout.progress.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _log(run: Run) -> list[dict[str, Any]]:
    begun = 1_700_000_000.0 + 100 * run.seed
    lines = [
        {"epoch": begun + 20 * i + 9 * j, "stage": stage, "state": state, "host": "machine", "pid": 1}
        for i, stage in enumerate(("train", "sample", "evaluate"))
        for j, state in enumerate(("running", "finished"))
    ]
    if run.name == FAILED:
        # In the future of the files, so that it is what happened last.
        lines.append(lines[-1] | {"epoch": 9e10, "state": "failed", "error": "the disk is <full>"})
    return lines


def _write_figures(plan: Plan, results: Path) -> None:
    """Placeholders: the page takes any pictures."""
    layout, pairs = ReportLayout(results, plan.experiment.name), plan.experiment.pairs
    names = [
        "fid-against-nfe",
        "cost-against-quality",
        "consistency",
        "mechanism",
        *(f"ablation-{name}" for name in plan.ablations),
    ]
    names += [f"{kind}-{pair}" for kind in ("samples", "training", "nearest", "curves") for pair in pairs]
    for i, name in enumerate(names):
        path = next(path for path in layout.figure(name) if path.suffix == ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (900, 300), (255, 255, 5 * i)).save(path)


COMMIT = "c0ffee" * 6 + "c0de"
EXPERIMENT = """
name: short
description: For the tests of crates
plugins: [mine.py]
datasets: {digits: {source: digits}}
formulations: {edm: {}}
objectives: {baseline: {}, td: {}}
seeds: [0, 1]
network: unet-tiny
training: {duration_kimg: 0.32, batch_size: 64, learning_rate: 2.0e-3, ema_half_life_kimg: 0.1,
           snapshot_kimg: 0.16}
sampling: {steps: [2], images: 64, batch_size: 64}
evaluation:
  mechanism: {times: 3, images: 32, batches: 2}
  kid_subsets: 2
  kid_subset_size: 32
  last_percent: 60
  curve: {points: 4}
"""


@pytest.fixture(scope="session")
def made(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the experiment and, below results, all that its stages leave behind."""
    folder = tmp_path_factory.mktemp("short")
    (folder / "short.yaml").write_text(EXPERIMENT)
    (folder / "mine.py").write_text('"""A plug-in that brings nothing."""\n')
    results, files = folder / "results", DatasetLayout(folder / "results", "digits")
    files.archive.parent.mkdir(parents=True)
    every = read_archive(archive)
    # Fewer images for a classifier that is trained sooner.
    write_archive(files.archive, every.images[:600], every.labels[:600])
    data = read_archive(files.archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origins, "git_commit", lambda: COMMIT)
        write_json(files.summary, data.summary())
        train_classifier(data, files.classifier, files.classifier_report, threads=1)
        write_references(data, "classifier", 256, files, threads=1)
        plan = load_plan(str(folder / "short.yaml"))
        write_plan_file(plan, results)
        for stage in ("train", "sample", "evaluate"):
            marker = ReportLayout(results, "short").job("digits/comparison/edm-1", stage)
            runs = [run for run in plan.runs.values() if stage != "train" or run.trained_as is None]
            do_stage(stage, runs, results, keep_finished=False, marker=marker)
        for samples in plan.floors["digits"]:
            write_floors(files, "classifier", plan.libraries("digits"), samples, threads=1)
        found = Findings(plan, results)
        for part in PARTS:
            write_part(found, part)
    return folder
