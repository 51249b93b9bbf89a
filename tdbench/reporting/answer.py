"""The answer in a few sentences: at equal images and at equal passes, and what it is a statement about."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from tdbench.experiment.metrics import label, leading, lower_is_better
from tdbench.experiment.plan import Plan
from tdbench.reporting.aggregates import Change, Overall, overall
from tdbench.reporting.cells import NOTHING, Cell, budget, interval, number
from tdbench.reporting.findings import Findings
from tdbench.reporting.learning import FLATTENED
from tdbench.reporting.limits import WORSE_SO_FAR
from tdbench.reporting.statistics import by_first_library

EQUAL_IMAGES, EQUAL_PASSES = "equal images", "equal passes"


class Answer(NamedTuple):
    """The answer for a data set, formulation and objective, and all its differences."""

    text: str
    differences: str


class _Comparison(NamedTuple):
    """The rows of a comparison by the leading metric and the first library."""

    at: str
    rows: pd.DataFrame
    baselines: dict[tuple[str, str, str], str]

    def of(self, *cell: object) -> "_Comparison":
        """The rows of a data set, formulation and objective."""
        own = (self.rows[["dataset", "formulation", "objective"]] == list(cell)).all(axis=1)
        return self._replace(rows=self.rows[own])


def summary(
    plan: Plan, table: pd.DataFrame, per_run: pd.DataFrame, equal_passes: pd.DataFrame | None = None
) -> tuple[str, list[Answer]]:
    """The answer by the `leading` metric: overall, and for each data set, formulation and objective.

    Parameters
    ----------
    table, equal_passes : DataFrame
        Results of `tables.comparison` and `tables.comparison_at_equal_passes`.
    per_run : DataFrame
        Result of `collect.mean_over_snapshots`, of the longer baselines too.

    Returns
    -------
    (str, list of Answer)
        How much the metric changes, with its interval over seeds, how often each objective is better, worse or
        undecided, in both comparisons, and how many trainings still learn; then the same for each, with every
        difference and its interval.
    """
    metric = leading(table.metric)
    compared = _comparisons(plan, metric, table, equal_passes)
    first = compared[0].rows
    if first.empty:
        return "No objective has scores to compare with the baseline's.", []
    low, high = int(first.n.min()), int(first.n.max())
    seeds = f"n = {low} seed{'s' if low != 1 else ''}" if low == high else f"n = {low} to {high} seeds"
    name, better = label(metric), "lower" if lower_is_better(metric) else "higher"
    headline = (
        f"{_overall(plan, compared, per_run, name)} ({name} by {', '.join(first.library.unique())} on "
        f"{first.features.iloc[0]} features, {better} is better; {seeds}; verdicts corrected for their number)."
    )
    lines = []
    for (dataset, formulation, objective), rows in first.groupby(["dataset", "formulation", "objective"], sort=False):
        cell = f"{dataset}, {formulation}, {objective}"
        mine = [part.of(dataset, formulation, objective) for part in compared]
        text = "; ".join(f"{_named(part, len(compared))}{_line(plan, part, per_run)}" for part in mine)
        differences = "; ".join(map(_difference, rows.itertuples()))
        lines.append(Answer(f"{cell}: {text}.", f"{cell}: {differences}."))
    return " ".join([headline, *_length(plan, first)]), lines


def _comparisons(plan: Plan, metric: str, table: pd.DataFrame, equal_passes: pd.DataFrame | None) -> list[_Comparison]:
    found = [_Comparison(EQUAL_IMAGES, by_first_library(table, metric), {})]
    if equal_passes is not None and plan.equal_passes:
        rows = by_first_library(equal_passes, metric)
        if not rows.empty:
            found.append(_Comparison(EQUAL_PASSES, rows, plan.baselines_at_equal_passes))
    return found


def _named(part: _Comparison, count: int) -> str:
    return f"at {part.at} " if count > 1 else ""


def _overall(plan: Plan, compared: list[_Comparison], per_run: pd.DataFrame, name: str) -> str:
    """``At equal images TD changes the FID of its baseline by +3 % on average and is worse in 3 of 19 comparisons``."""
    parts: list[str] = []
    for part in compared:
        found = overall(per_run, part.rows, plan.experiment.baseline, part.baselines)
        change = ""
        if found is not None:
            of = f"the {name} of its baseline by " if not parts else "it by "
            change = f"changes {of}{_percent(found.change)} on average and "
        counts = f"is {_counts(part.rows)} of {len(part.rows)}{' comparisons' if not parts else ''}"
        where = _named(part, len(compared))
        parts.append(f"{where}TD {change}{counts}")
    text = "; ".join(parts)
    return text[0].upper() + text[1:]


def _length(plan: Plan, rows: pd.DataFrame) -> Iterator[str]:
    """What the answer is a statement about, if trainings still learn."""
    if "objective_training" not in rows:
        return
    if (rows.objective_training == "").all():
        yield "No curves were scored, so whether the trainings still learn is unknown."
        return
    learning = int(((rows.baseline_training != FLATTENED) | (rows.objective_training != FLATTENED)).sum())
    if learning:
        lengths = sorted({run.last_images / 1000 for run in plan.comparison})
        span = f"{lengths[0]:g}" if len(lengths) == 1 else f"{lengths[0]:g} to {lengths[-1]:g}"
        many = f"All {len(rows)}" if learning == len(rows) and learning > 1 else f"{learning} of {len(rows)}"
        yield (
            f"{many} comparisons are of trainings that still learn after {span} kimg, or have not been shown to have "
            "flattened: they say something about trainings of this length and not about the method."
        )


def _line(plan: Plan, part: _Comparison, per_run: pd.DataFrame) -> str:
    rows = part.rows
    if rows.empty:
        return "—"
    found = overall(per_run, rows, plan.experiment.baseline, part.baselines)
    change = "" if found is None else f"{_percent(found.change)} on average, "
    return f"{change}{_counts(rows)} of {len(rows)} step budget{'s' if len(rows) != 1 else ''}"


def _percent(change: Change) -> str:
    """``+31 % [+22 %, +40 %]``; without a spread (one seed) the mean alone."""
    values = [value for value in change[:3] if not pd.isna(value)]
    texts = [f"{_signed(value)} %" for value in values]
    return texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{number(value, 2)}"


def verdict_counts(rows: pd.DataFrame) -> dict[str, int]:
    """How many rows have each kind of verdict, whatever limits it."""
    so_far = rows.verdict == WORSE_SO_FAR
    return {
        "better": int((rows.verdict == "better").sum()),
        "worse": int((rows.verdict == "worse").sum()),
        WORSE_SO_FAR: int(so_far.sum()),
        "undecided": int(rows.verdict.str.startswith("undecided").sum()),
    }


def _counts(rows: pd.DataFrame) -> str:
    """``better in 2, worse in 1 and undecided in 3``."""
    parts = [f"{word} in {count}" for word, count in verdict_counts(rows).items() if count]
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _difference(row: Any) -> str:
    text = interval(row.difference, row.difference_low, row.difference_high)
    return f"{text} on {number(row.baseline_mean, 3)} at {budget(row.steps)}"


def overall_table(found: Findings) -> pd.DataFrame:
    """One row for each objective and comparison: differences over all cells in a few numbers (`aggregates.Overall`)."""
    plan, per_run = found.plan, found.per_run("comparison")
    images, passes = found.table("comparison").numbers, found.table("comparison-equal-passes").numbers
    rows = []
    for part in _comparisons(plan, leading(images.metric), images, passes):
        for objective, cells in part.rows.groupby("objective", sort=False):
            result = overall(per_run, cells, plan.experiment.baseline, part.baselines)
            rows.append(
                {"objective": objective, "at": part.at, "metric": str(cells.metric.iloc[0]), "cells": len(cells)}
                | _numbers(result)
                | {name.replace(" ", "_"): count for name, count in verdict_counts(cells).items()}
                | {"learning": int(cells.verdict.str.endswith("still learning").sum())}
                | {"saturated": int(cells.verdict.str.endswith("saturated").sum())}
            )
    return pd.DataFrame(rows)


def _numbers(result: Overall | None) -> dict[str, float]:
    if result is None:
        return dict.fromkeys(("change", "change_low", "change_high", "interquartile", "probability"), float("nan"))
    change = result.change
    numbers = {"change": change.percent, "change_low": change.low, "change_high": change.high}
    return numbers | {"interquartile": result.interquartile, "probability": result.probability}


def readable_overall(table: pd.DataFrame) -> pd.DataFrame:
    """The overall table, formatted for people."""
    if table.empty:
        return table
    changes = zip(table.change, table.change_low, table.change_high, strict=True)
    return pd.DataFrame(
        {
            "objective": table.objective,
            "compared at": table["at"],
            "metric": table.metric.map(label),
            "comparisons": table.cells,
            "mean change [95 %]": [
                NOTHING if pd.isna(row[0]) else Cell(_percent(Change(*row, n=0)), row[0]) for row in changes
            ],
            "interquartile mean": [
                NOTHING if pd.isna(value) else Cell(f"{_signed(value)} %", value) for value in table.interquartile
            ],
            "probability of improvement": [
                NOTHING if pd.isna(value) else number(value, 2) for value in table.probability
            ],
            "better": table.better,
            "worse": table.worse,
            "worse so far": table.worse_so_far,
            "undecided": table.undecided,
            "of these still learning": table.learning,
            "of these saturated": table.saturated,
        }
    )
