"""Tables as CSV (numbers, tidy), Markdown and LaTeX (for reading)."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tdbench.errors import printable
from tdbench.experiment.metrics import METRICS, label, leading
from tdbench.experiment.plan import Plan
from tdbench.reporting.cells import NOTHING, Cell, budget, fixed, interval, number, place_columns, probability, spread
from tdbench.reporting.collect import BASELINE, CELL, labels_of_ablation, of_last_snapshot
from tdbench.reporting.findings import Findings, Table
from tdbench.reporting.latex import latex_table
from tdbench.reporting.limits import limit_ablation, limit_comparison
from tdbench.reporting.statistics import TWO_SEEDS, agreement, by_first_library, compare, in_order, summarise
from tdbench.runtime.files import atomic_path, write_text

KEYS = ["dataset", "formulation", "objective"]


def needed(row: Any) -> Cell:
    """Seeds that would decide an undecided row; a dash for other rows."""
    if row.verdict not in ("undecided", TWO_SEEDS):
        return NOTHING
    return Cell("> 1000" if math.isinf(row.seeds_needed) else f"{row.seeds_needed:.0f}", row.seeds_needed)


def baseline_name(plan: Plan) -> str:
    return plan.experiment.baseline


def objectives(plan: Plan) -> list[str]:
    """Names of the objectives of the comparison, the baseline's first."""
    baseline = baseline_name(plan)
    return [baseline, *(name for name in plan.experiment.objectives if name != baseline)]


def comparison(found: Findings) -> pd.DataFrame:
    """The comparison at equal images, by the mean over the last snapshots."""
    table = comparison_table(found.plan, found.per_run("comparison"))
    return limit_comparison(found, _with_passes(found, table))


def comparison_at_equal_passes(found: Findings) -> pd.DataFrame:
    """The comparison with the baseline that costs as many passes; both by the mean over their last snapshots."""
    table = comparison_table(found.plan, found.per_run("comparison"), equal_passes=True)
    if not found.plan.equal_passes:
        table = table[:0]
    return limit_comparison(found, _with_passes(found, table, equal_passes=True), equal_passes=True)


def _with_passes(found: Findings, table: pd.DataFrame, equal_passes: bool = False) -> pd.DataFrame:
    """Add the passes of both sides through the networks in training, counted, means over seeds."""
    runs, names = found.runs("comparison"), found.plan.baselines_at_equal_passes if equal_passes else {}
    counted = (runs.network_passes + runs.target_passes).groupby([runs[key] for key in KEYS]).mean()
    cells = list(table[KEYS].itertuples(index=False, name=None))
    baseline = found.plan.experiment.baseline
    passes = np.array([counted.get(cell, np.nan) for cell in cells], float)
    base = np.array([counted.get((*cell[:2], names.get(cell, baseline)), np.nan) for cell in cells], float)
    return table.assign(baseline_passes=base, td_passes=passes, passes_ratio=passes / base)


def comparison_final(found: Findings) -> pd.DataFrame:
    """The comparison at equal images, by the last snapshot only."""
    table = comparison_table(found.plan, of_last_snapshot(found.scores("comparison")))
    return limit_comparison(found, _with_passes(found, table))


def consistency(found: Findings) -> pd.DataFrame:
    """The comparison of cross-time consistency."""
    return comparison_table(found.plan, found.consistency)


def ablation(found: Findings, name: str) -> pd.DataFrame:
    """The table of an ablation."""
    return limit_ablation(found, ablation_table(found.plan, name, found.cases(name)))


def agreement_of_libraries(found: Findings) -> pd.DataFrame:
    """`statistics.agreement` of all scores."""
    return agreement(found.scores("all"))


def readable_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """The agreement of the libraries, formatted for people."""
    if table.empty:
        return table
    largest = [str(name) for name in table if str(name).startswith("largest")]
    shown = {name: table[name].map(lambda value: Cell(f"{value:.1e}", value)) for name in largest}
    return table.assign(metric=table.metric.map(label), **shown)


def comparison_table(plan: Plan, per_run: pd.DataFrame, equal_passes: bool = False) -> pd.DataFrame:
    """TD and its baseline: one row per data set, formulation, objective, metric, library and step budget.

    ``equal_passes`` compares with the baseline that costs as many passes instead of the one that saw as many images.
    """
    treated = [n for n, o in plan.experiment.objectives.items() if o.kind != "baseline"]
    return compare(per_run, baseline_name(plan), treated, plan.baselines_at_equal_passes if equal_passes else None)


def readable_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison, formatted for people."""
    columns = {
        **place_columns(table),
        "NFE": table.nfe,
        "baseline": [spread(m, s) for m, s in zip(table.baseline_mean, table.baseline_std, strict=True)],
        "TD": [spread(m, s) for m, s in zip(table.td_mean, table.td_std, strict=True)],
        "TD − baseline [95 %]": [
            interval(*row) for row in zip(table.difference, table.difference_low, table.difference_high, strict=True)
        ],
        "n": table.n,
        "p, corrected": table.p_corrected.map(probability),
        "verdict": verdicts(table),
        "seeds to decide": [needed(row) for row in table.itertuples()],
    }
    if "passes_ratio" in table:
        columns["passes, × baseline"] = [NOTHING if pd.isna(v) else fixed(v, 2) for v in table.passes_ratio]
    if "floor" in table and table.floor.notna().any():
        columns["floor"] = [NOTHING if pd.isna(value) else number(value, 3) for value in table.floor]
    return pd.DataFrame(columns)


def verdicts(table: pd.DataFrame) -> list[str]:
    """Each verdict with the size of the effect beside it: ``worse, +31 %`` of the baseline."""
    relative = 100 * table.difference / table.baseline_mean.abs()
    return [
        f"{verdict}, {'+' if change >= 0 else ''}{number(change, 2)} %" if math.isfinite(change) else str(verdict)
        for verdict, change in zip(table.verdict, relative, strict=True)
    ]


def readable_consistency(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison of cross-time consistency, formatted for people: "smaller" and "larger", not "better"."""
    what = {"residual": "residual, w‖δ‖²", "moves": "moves of D on the path"}
    columns = {
        "data": table.dataset,
        "formulation": table.formulation,
        "objective": table.objective,
        "figure": table.metric.map(what),
        "budget": [budget(steps) if steps else NOTHING for steps in table.steps],
        "baseline": [spread(m, s) for m, s in zip(table.baseline_mean, table.baseline_std, strict=True)],
        "TD": [spread(m, s) for m, s in zip(table.td_mean, table.td_std, strict=True)],
        "TD, × baseline": [number(t / b, 3) for t, b in zip(table.td_mean, table.baseline_mean, strict=True)],
        "n": table.n,
        "p, corrected": table.p_corrected.map(probability),
        "TD is": table.verdict.replace({"better": "smaller", "worse": "larger"}),
    }
    return pd.DataFrame(columns)


def varies_objective_only(plan: Plan, name: str) -> bool:
    """Whether the cases of an ablation differ from the baseline only in the objective."""
    return all(key.startswith("objective.") for key in plan.experiment.ablations[name].vary)


def ablation_table(plan: Plan, name: str, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per case (the baseline first), metric, library and step budget, with the difference to the baseline.

    Contains only the data sets and formulations that the ablation varies.

    Parameters
    ----------
    scores : DataFrame
        Result of `collect.scores_of_ablation`.
    """
    labels = labels_of_ablation(plan, name)
    means = summarise(scores)
    differences = compare(scores, BASELINE, [label for label in labels if label != BASELINE])
    kept = [
        "difference",
        "difference_std",
        "difference_low",
        "difference_high",
        "p",
        "p_corrected",
        "corrected_low",
        "corrected_high",
        "verdict",
        "seeds_needed",
    ]
    table = means.merge(differences[[*CELL, *kept]], on=CELL, how="left")
    if not varies_objective_only(plan, name):
        # The baseline does not have the varied setting, so the difference would attribute its effect to TD.
        table[kept] = None
    keys = ["dataset", "formulation", "objective"]
    names = scores.drop_duplicates(keys).set_index(keys).objective_name
    table.insert(0, "case", table.objective)
    settings = {case.label: case.settings for case in plan.ablations[name]}
    # A case that is the baseline itself has no row of its own.
    same = (case.settings for case in plan.ablations[name] if case.objective_name == plan.experiment.baseline)
    settings[BASELINE] = next(same, {})
    for key in plan.experiment.ablations[name].vary:
        table.insert(1, key, [settings.get(case, {}).get(key) for case in table["case"]])
    table["objective"] = [names[tuple(cell)] for cell in table[keys].itertuples(index=False)]
    by = ["dataset", "formulation", "metric", "library", "case", "steps"]
    return table.sort_values(by, key=in_order(scores, case=labels, metric=list(METRICS)), ignore_index=True)


def outcome(table: pd.DataFrame) -> str:
    """What came out of an ablation: the change of each case against the baseline, mean over step budgets.

    Parameters
    ----------
    table : DataFrame
        Result of `ablation_table`.
    """
    rows = by_first_library(table, leading(table.metric))
    base = rows[rows["case"] == BASELINE].set_index(["dataset", "formulation", "steps"])["mean"]
    parts = []
    for place, mine in rows[rows["case"] != BASELINE].groupby(["dataset", "formulation", "case"], sort=False):
        means = base.reindex(pd.MultiIndex.from_frame(mine[["dataset", "formulation", "steps"]])).to_numpy(float)
        changes = mine.difference.to_numpy(float) / means
        if np.isnan(changes).all() or (means <= 0).any():
            continue
        said = [f"{count} × {verdict}" for verdict, count in mine.verdict.value_counts().items()]
        parts.append(f"{place[2]}: {100 * np.nanmean(changes):+.1f} % ({', '.join(said)})")
    if not parts:
        return ""
    return f"{label(leading(table.metric))} against the baseline, mean over step budgets: {'; '.join(parts)}."


def readable_ablation(table: pd.DataFrame) -> pd.DataFrame:
    """An ablation, formatted for people: one row per case, one column per step budget, with verdicts."""
    claims = table.verdict.where(table.verdict.isin(["better", "worse"]))
    cells = [
        spread(m, s) if pd.isna(c) else Cell(f"{spread(m, s)}, {c}", m)
        for m, s, c in zip(table["mean"], table["std"], claims, strict=True)
    ]
    text = table.assign(
        value=pd.Series(cells, index=table.index, dtype=object),
        metric=table.metric.map(label),
        column=[f"{budget(steps)} (NFE {nfe})" for steps, nfe in zip(table.steps, table.nfe, strict=True)],
    )
    index = ["dataset", "formulation", "metric", "library", "case", "n"]
    wide = text.pivot(index=index, columns="column", values="value")
    rows, columns = text[index].drop_duplicates(), list(dict.fromkeys(text.sort_values("steps").column))
    ordered = wide.reindex(pd.MultiIndex.from_frame(rows), columns=columns)
    empty: Any = NOTHING
    filled = ordered.where(ordered.notna(), empty).reset_index()
    return filled.rename(columns={"dataset": "data"}).rename_axis(columns=None)


def write_table(paths: list[Path], table: Table, columns: Sequence[str] = ()) -> list[str]:
    """Write the numbers of a table as CSV, and the table for people as Markdown and LaTeX.

    Parameters
    ----------
    columns : sequence of str
        Columns of the LaTeX table, instead of the default ones.

    Returns
    -------
    list of str
        The columns that can be chosen.
    """
    for path in paths:
        if path.suffix == ".csv":
            with atomic_path(path) as temporary:
                table.numbers.to_csv(temporary, index=False)
        elif path.suffix == ".md":
            write_text(path, f"{_markdown(table.caption)}\n\n{markdown_table(table.readable)}\n")
        else:
            # The name of the experiment keeps labels unique in a paper with several experiments.
            label = f"tab:{path.parents[1].name}-{path.stem}"
            write_text(path, latex_table(table.readable, table.caption, label, columns))
    return list(map(str, table.readable.columns))


def markdown_table(readable: pd.DataFrame) -> str:
    """A table for people as Markdown."""
    escaped = readable.map(str).rename(columns=_markdown).map(_markdown)
    text: str = escaped.to_markdown(index=False, disable_numparse=True)
    return text


def _markdown(text: str) -> str:
    """Escape characters that would end a cell, start HTML or load an image."""
    return re.sub(r"\||<(?=[A-Za-z/!?])|!(?=\[)", lambda found: f"\\{found[0]}", _one_line(text))


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
