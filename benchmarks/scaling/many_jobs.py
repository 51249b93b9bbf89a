"""Overhead of Snakemake for a graph of many jobs: planning, scheduling, memory."""

import json
from pathlib import Path
from typing import Any

RUNS_A_SEED = 8
"""Runs per seed: baseline, TD, and an ablation of six values."""
JOBS_BESIDES = 9
"""Other jobs: data, classifier, reference, floor, two jobs for tables, page, tracking, and the target `all`."""


def experiment_of(jobs: int) -> dict[str, Any]:
    """Return an experiment of about this many jobs, three per run: digits, enough seeds, and an ablation."""
    seeds = max(2, round((jobs - JOBS_BESIDES) / (3 * RUNS_A_SEED)))
    return {
        "name": "many",
        "datasets": {"digits": {"source": "digits"}},
        "formulations": {"edm": {}},
        "objectives": {"baseline": {}, "td": {}},
        "seeds": list(range(seeds)),
        "network": "unet-tiny",
        "training": {
            "duration_kimg": 25.6,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "ema_half_life_kimg": 1,
            "snapshot_kimg": 25.6,
        },
        "sampling": {"steps": [4, 6], "images": 1000},
        # Every run with three jobs.
        "evaluation": {"curve": None, "equal_passes": False},
        "ablations": {"lambda": {"base": "td", "vary": {"objective.lambda": [0.011, 0.02, 0.03, 0.04, 0.05, 0.06]}}},
    }


def write_experiment(folder: Path, jobs: int) -> Path:
    """Write the experiment file; JSON is valid YAML."""
    path = folder / "many.yaml"
    path.write_text(json.dumps(experiment_of(jobs)))
    return path
