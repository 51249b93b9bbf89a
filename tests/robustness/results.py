"""What stages leave behind, as they write it, without the hours: to be damaged."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tdbench.experiment.metrics import METRICS
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.sample_sets import SampleJob, sample_jobs, sample_key
from tdbench.records.stored import Records
from tdbench.reporting.status.plan_file import write_plan_file
from tdbench.runtime.files import write_json
from tdbench.runtime.provenance import provenance

DATA = {"sha256": "d" * 64, "images": 1797, "resolution": 8, "channels": 1, "classes": 10}
HARDWARE = {"device": "cpu", "threads": 1, "processes": 1}
LINE = {
    "step": 20,
    "images": 1280,
    "kimg": 1.28,
    "loss": 0.5,
    "base_loss": 0.4,
    "td_loss": 0.1,
    "valid_share": 0.9,
    "grad_norm": 1.0,
    "images_per_s": 300.0,
    "seconds": 4.0,
    "memory_mb": 400.0,
    "learning_rate": 2e-3,
    "ema_decay": 0.99,
}


def write_results(plan: Plan, results: Path) -> None:
    """Records of every run of a plan, of one form with those of real runs."""
    write_plan_file(plan, results)
    for run in plan.runs.values():
        layout = RunLayout(results, run)
        origin = provenance().to_json()
        part = {"from_step": 0, "hardware": HARDWARE, "engine": {}, "provenance": origin}
        record = {"name": run.name, "run": run.model_dump(mode="json", by_alias=True), "data": DATA, "parameters": 9}
        if run.trained_as is None:
            write_json(layout.settings, record | {"hardware": HARDWARE, "provenance": origin, "parts": [part]})
            write_json(layout.snapshots, snapshots(run))
            layout.metrics.write_text("".join(json.dumps(LINE | {"step": step}) + "\n" for step in (20, 40)))
        scored, curve = sample_jobs(run)
        write_json(layout.samples, {"samples": samples(run, scored), "curve": samples(run, curve)})
        write_json(layout.scores, scores(run))
        if run.mechanism_td is not None:
            time = {"index": 0.0, "noise_level": 80.0, "share": 0.5, "valid": 1.0, "variance": 0.2, "correlation": 0.9}
            time |= {"beta": 0.5, "best_beta": 1.0, "remaining": 0.3, "size": 1.0, "lag": 0.1}
            time |= {name: {"variance": 3.0, "squared_mean": 0.1} for name in ("noise", "noise_td")}
            key = Records(results).of(run).mechanism_key
            times = [time, time | {"index": 1.0, "noise_level": 40.0, "noise": None, "noise_td": None, "lag": None}]
            content = {"key": key, "images": 64, "batch_size": 64, "times": times, "provenance": origin}
            write_json(layout.mechanism, content)
        write_json(
            layout.consistency,
            {
                "key": Records(results).of(run).consistency_key,
                "mean": 0.1,
                "weighted_mean": 0.2,
                "provenance": origin,
                "residuals": [{"index": float(i), "squared": 0.1, "weighted": 0.2} for i in range(3)],
            },
        )
        layout.progress.write_text("".join(json.dumps(line) + "\n" for line in log()))
    for dataset, counts in plan.floors.items():
        for count in counts:
            path = DatasetLayout(results, dataset).floor("classifier", count)
            write_json(path, floors(plan.libraries(dataset), count))


def floors(libraries: list[str], samples: int) -> dict[str, Any]:
    spread = {"mean": 3.0, "std": 0.2, "draws": 20}
    same = {"samples": samples, "images": 1797, "normal": spread, "data": spread}
    return {
        "floors": [same | {"library": library} for library in libraries],
        "references": dict.fromkeys(libraries, "9" * 64),
        "provenance": provenance().to_json(),
    }


def snapshots(run: Run) -> dict[str, Any]:
    entries = [
        {"images": images, "kimg": images / 1000, "file": f"snapshots/{images:09d}.safetensors", "sha256": "e" * 64}
        | {"seconds": images / 500, "network_passes": 3 * images, "target_passes": 0}
        for images in map(run.training.images_at, run.snapshot_steps())
    ]
    passes = {"network": 1, "target": 1}
    return {"snapshots": entries, "training_seconds": 9.0, "last_metrics": LINE, "forward_passes_a_step": passes}


def samples(run: Run, jobs: list[SampleJob]) -> list[dict[str, Any]]:
    return [
        {
            "key": sample_key(run, "e" * 64, job.steps, job.samples),
            "snapshot_images": job.images,
            "steps": job.steps,
            "nfe": 2 * job.steps - 1,
            "estimate_moves": [0.1, 0.2],
            "file": f"samples/{job.images:09d}/steps-{job.steps:03d}.npz",
            "sha256": "f" * 64,
            "seconds": 1.0,
            "provenance": provenance().to_json(),
        }
        for job in jobs
    ]


def score_rows(run: Run, jobs: list[SampleJob], libraries: Sequence[str], metrics: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "snapshot_kimg": job.images / 1000,
            "steps": job.steps,
            "nfe": 2 * job.steps - 1,
            "sampler": "heun",
            "library": library,
            "library_version": "1",
            "features": "classifier",
            "resize": "native",
            "n": job.samples,
            "reference_n": 1797,
            "reference_data": "d" * 64,
            "samples": "f" * 64,
            "seconds": 1.0,
            "metric": metric,
            "value": 20.0 + run.seed,
            "spread_of_images": None,
        }
        for job in jobs
        for library in libraries
        for metric in metrics
    ]


def scores(run: Run) -> dict[str, Any]:
    scored, curve = sample_jobs(run)
    nearest = {
        "snapshot_images": run.scored_snapshots()[-1],
        "steps": run.sampling.steps[-1],
        "share": 0.01,
        "threshold": 0.5,
        "samples": 128,
        "queries": 1797,
        "pairs": [{"sample": 3, "image": 5, "distance": 0.1}],
    }
    return {
        "run": run.name,
        "evaluation": run.evaluation_settings(),
        "scores": score_rows(run, scored, run.evaluation.libraries, list(METRICS)[:2]),
        "curve": score_rows(run, curve, run.evaluation.libraries[:1], ["fid"]),
        "nearest": nearest,
        "references": dict.fromkeys(run.evaluation.libraries, "a" * 64),
        "provenance": provenance().to_json(),
    }


def log() -> list[dict[str, Any]]:
    begun = {
        "time": "2026-01-01T00:00:00+00:00",
        "host": "machine",
        "pid": 1,
        "unit": "img",
        "initial": 0,
        "every_s": 5.0,
    }
    return [
        begun
        | {
            "epoch": 1.7e9 + 100 * i + j,
            "stage": stage,
            "state": state,
            "done": 10,
            "total": 10,
            "rate": 2.0,
            "seconds": 5.0,
        }
        for i, stage in enumerate(("train", "sample", "evaluate"))
        for j, state in enumerate(("running", "finished"))
    ]
