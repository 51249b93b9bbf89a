"""Collects the results of all runs of an experiment into data frames."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.cases import Case
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.records.mechanism import Mechanism
from tdbench.records.schema import ResidualAt, Score, SnapshotEntry
from tdbench.records.stored import Records

IDENTITY = ["dataset", "formulation", "objective", "seed", "run"]
PLACE = ["dataset", "formulation", "objective"]
CELL = ["dataset", "formulation", "objective", "metric", "library", "features", "steps", "nfe"]

CURVE = ["dataset", "formulation", "metric", "library", "features", "steps", "nfe", "samples"]
"""Columns that curves have in common that are compared with each other."""
CURVE_COLUMNS = [*CURVE, "objective", "seed", "run", "images", "kimg", "passes", "seconds", "value"]

MECHANISM_MEASURED = ("variance", "correlation", "beta", "best_beta", "remaining", "size", "lag")
MECHANISM_NOISE = ("noise_variance", "noise_mean", "noise_td_variance", "noise_td_mean")
_OF_TIME = ("index", "noise_level", "share", "valid", *MECHANISM_MEASURED)
MECHANISM_COLUMNS = [*IDENTITY, "batch_size", *_OF_TIME, *MECHANISM_NOISE]


def _identity(run: Run) -> dict[str, str | int]:
    return {
        "dataset": run.dataset_name,
        "formulation": run.formulation_name,
        "objective": run.objective_name,
        "seed": run.seed,
        "run": run.name,
    }


def collect_scores(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """One row per run, snapshot, step budget, library and metric.

    Raises
    ------
    TdbenchError
        If a run has no scores yet, or scores with settings other than the experiment's.
    """
    rows = []
    for run in runs:
        stored = records.of(run)
        stored.check_trained()
        rows += [{"experiment": run.experiment} | _identity(run) | score.to_json() for score in stored.scored.scores]
    if not rows:
        raise TdbenchError("no scores to report")
    return pd.DataFrame(rows)


def collect_runs(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """One row per run: size, cost, final losses, origin."""
    rows: list[dict[str, object]] = []
    for run in runs:
        record, finished = records.of(run).trained, records.of(run).finished
        last, origin, calls = records.of(run).last_line, record.provenance, finished.forward_passes_a_step
        end = records.of(run).snapshots[run.last_images]
        rows.append(
            _identity(run)
            | {
                "parameters": record.parameters,
                "training_seconds": records.of(run).seconds,
                "memory_mb": last.memory_mb,
                "kimg": run.last_images / 1000,
                "loss": last.loss,
                "valid_share": last.valid_share,
                "device": record.hardware.device,
                "threads": record.hardware.threads,
                "network_calls": calls.network,
                "target_calls": calls.target,
                "network_passes": end.network_passes,
                "target_passes": end.target_passes,
                "data": record.data.sha256,
                "git_commit": origin.git_commit,
                "torch": origin.versions.get("torch", "unknown"),
                "started_at": origin.written_at,
            }
        )
    return pd.DataFrame(rows)


def collect_curves(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """The metrics of all trainings, one row for each line of metrics.jsonl."""
    frames = [
        pd.DataFrame([line.to_json() for line in records.of(run).own_metrics]).assign(**_identity(run)) for run in runs
    ]
    return pd.concat(frames, ignore_index=True)


def collect_curve_scores(plan: Plan, records: Records) -> pd.DataFrame:
    """The scores of all curves, one row for each run and point.

    Returns
    -------
    DataFrame
        With ``images`` shown, ``passes`` through both networks (1 forward, 2 backward; NaN if they were not counted)
        and ``seconds`` of training at each point. The points of a longer baseline continue those of the baseline.
    """
    rows: list[dict[str, object]] = []
    for run in (*plan.comparison, *plan.longer):
        if not run.curve_snapshots:
            continue
        stored = records.of(run)
        stored.check_trained()
        objective = run.objective_name if run in plan.comparison else plan.experiment.baseline
        rows += [_curve_row(run, objective, score, stored.snapshots) for score in stored.scored.curve]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def _curve_row(run: Run, objective: str, score: Score, snapshots: Mapping[int, SnapshotEntry]) -> dict[str, object]:
    images = round(score.snapshot_kimg * 1000)
    entry = snapshots[images]
    return {
        "dataset": run.dataset_name,
        "formulation": run.formulation_name,
        "metric": score.metric,
        "library": score.library,
        "features": score.features,
        "steps": score.steps,
        "nfe": score.nfe,
        "samples": score.n,
        "objective": objective,
        "seed": run.seed,
        "run": run.name,
        "images": images,
        "kimg": score.snapshot_kimg,
        "passes": np.nan if entry.passes is None else float(entry.passes),
        "seconds": np.nan if entry.seconds is None else entry.seconds,
        "value": score.value,
    }


def collect_residuals(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """Cross-time residuals, one row per run and time of the grid; runs without residuals are skipped."""
    rows = []
    for run in runs:
        content = records.of(run).consistency
        rows += [_identity(run) | point.to_json() for point in (content.residuals if content else [])]
    return pd.DataFrame(rows, columns=[*IDENTITY, *ResidualAt.model_fields])


def collect_consistency(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """Measures of cross-time consistency in the columns of scores, one row per run and measure.

    ``residual``: w ||delta||^2, mean over the times of the grid, without a budget (steps and NFE are 0). ``moves``: the
    sum of ||D_{i+1} - D_i||^2 along the sampling path of a budget. Both of the last snapshot.
    """
    rows = []
    for run in runs:
        stored, same = records.of(run), _identity(run) | {"library": "tdbench", "features": "none"}
        if content := stored.consistency:
            rows.append(same | {"metric": "residual", "steps": 0, "nfe": 0, "value": content.weighted_mean})
        last = run.scored_snapshots()[-1]
        rows += [
            same | {"metric": "moves", "steps": s.steps, "nfe": s.nfe, "value": sum(s.estimate_moves)}
            for s in stored.sampled
            if s.snapshot_images == last and s.estimate_moves
        ]
    return pd.DataFrame(rows, columns=[*IDENTITY, "library", "features", "metric", "steps", "nfe", "value"])


def mechanism_rows(run: Run, mechanism: Mechanism) -> list[dict[str, object]]:
    """One row for each time; missing values are NaN."""
    rows = []
    for time in mechanism.times:
        row: dict[str, object] = {**_identity(run), "batch_size": mechanism.batch_size}
        row |= {name: getattr(time, name) for name in _OF_TIME}
        for name, noise in (("noise", time.noise), ("noise_td", time.noise_td)):
            row[f"{name}_variance"] = None if noise is None else noise.variance
            row[f"{name}_mean"] = None if noise is None else noise.squared_mean
        rows.append({key: np.nan if value is None else value for key, value in row.items()})
    return rows


def collect_mechanism(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """One row for each run and time; runs without one are skipped."""
    rows: list[dict[str, object]] = []
    for run in runs:
        if (content := records.of(run).mechanism) is not None:
            rows += mechanism_rows(run, content)
    return pd.DataFrame(rows, columns=MECHANISM_COLUMNS)


def collect_nearest(runs: Iterable[Run], records: Records) -> pd.DataFrame:
    """One row for each data set, formulation and objective: the share of samples near an image of the data."""
    rows = []
    for run in runs:
        found = records.of(run).scored.nearest
        rows.append(
            {
                "dataset": run.dataset_name,
                "formulation": run.formulation_name,
                "objective": run.objective_name,
                "steps": found.steps,
                "samples": found.samples,
                "share": found.share,
                "nearest": found.pairs[0].distance / found.threshold if found.threshold else float("nan"),
            }
        )
    keys = ["dataset", "formulation", "objective", "steps", "samples"]
    grouped = pd.DataFrame(rows).groupby(keys, sort=False)
    return grouped.agg(
        share=("share", "mean"), share_std=("share", "std"), nearest=("nearest", "min"), n=("share", "count")
    ).reset_index()


def mean_over_snapshots(scores: pd.DataFrame) -> pd.DataFrame:
    """One value per run and cell: the mean over the scored snapshots at the end of training."""
    grouped = scores.groupby([*CELL, "seed", "run"], sort=False)["value"]
    return grouped.agg(value="mean", snapshots="count").reset_index()


def of_last_snapshot(scores: pd.DataFrame) -> pd.DataFrame:
    """One value per run and cell in the columns of `mean_over_snapshots`: the score of the last snapshot."""
    last = scores.groupby("run")["snapshot_kimg"].transform("max")
    return mean_over_snapshots(scores[scores.snapshot_kimg == last])


BASELINE = "baseline"
"""The baseline's name in an ablation, independent of its objective's name."""


def scores_of_ablation(plan: Plan, name: str, per_run: pd.DataFrame) -> pd.DataFrame:
    """The scores of an ablation, with the names of its cases in the column ``objective``.

    Contains only the data sets and formulations that the ablation varies; the baseline comes first. The same objective
    can be different cases of two formulations if their presets differ. ``objective_name`` keeps the objective.
    """
    keys = ["dataset", "formulation", "objective"]
    found = plan.ablations[name]
    baselines = {(c.dataset_name, c.formulation_name, plan.experiment.baseline): BASELINE for c in found}
    # A case that is the baseline itself would be listed twice.
    cases = {(c.dataset_name, c.formulation_name, c.objective_name): c.label for c in varied_cases(plan, name)}
    parts = []
    for labels in (baselines, cases):
        named = pd.Series([labels.get(tuple(cell)) for cell in per_run[keys].itertuples(index=False)], per_run.index)
        part = per_run.assign(objective_name=per_run.objective, objective=named)
        parts.append(part[part.objective.notna()])
    return pd.concat(parts, ignore_index=True)


def labels_of_ablation(plan: Plan, name: str) -> list[str]:
    """The baseline and the cases, each once, in the experiment's order."""
    return list(dict.fromkeys([BASELINE, *(case.label for case in varied_cases(plan, name))]))


def varied_cases(plan: Plan, name: str) -> list[Case]:
    """The cases of an ablation without the baseline itself."""
    return [case for case in plan.ablations[name] if case.objective_name != plan.experiment.baseline]
