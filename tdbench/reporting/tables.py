"""Tables as CSV (numbers, tidy), Markdown and LaTeX (for reading)."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tdbench.errors import printable
from tdbench.experiment.metrics import METRICS, label
from tdbench.experiment.run import Plan
from tdbench.reporting.cells import NOTHING, Cell, budget, fixed, interval, number, probability, spread
from tdbench.reporting.collect import BASELINE, CELL, labels_of_ablation, of_last_snapshot
from tdbench.reporting.findings import Findings, Table
from tdbench.reporting.latex import latex_table
from tdbench.reporting.statistics import TWO_SEEDS, agreement, compare, in_order, summarise
from tdbench.runtime.files import atomic_path, write_text


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
    """The comparison by the mean over the last snapshots."""
    return comparison_table(found.plan, found.per_run("comparison"))


def comparison_final(found: Findings) -> pd.DataFrame:
    """The comparison by the last snapshot only."""
    return comparison_table(found.plan, of_last_snapshot(found.scores("comparison")))


def consistency(found: Findings) -> pd.DataFrame:
    """The comparison of cross-time consistency."""
    return comparison_table(found.plan, found.consistency)


def cost(found: Findings) -> pd.DataFrame:
    """The cost of training."""
    return cost_table(found.plan, found.runs("comparison"))


def ablation(found: Findings, name: str) -> pd.DataFrame:
    """The table of an ablation."""
    return ablation_table(found.plan, name, found.cases(name))


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


def comparison_table(plan: Plan, per_run: pd.DataFrame) -> pd.DataFrame:
    """TD and its baseline: one row per data set, formulation, objective, metric, library and step budget."""
    treated = [n for n, o in plan.experiment.objectives.items() if o.kind != "baseline"]
    return compare(per_run, baseline_name(plan), treated)


def readable_comparison(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison, formatted for people."""
    columns = {
        "data": table.dataset,
        "formulation": table.formulation,
        "objective": table.objective,
        "metric": table.metric.map(label),
        "library": table.library,
        "steps": table.steps,
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


def cost_table(plan: Plan, runs: pd.DataFrame) -> pd.DataFrame:
    """Training cost of each objective of the comparison, relative to the baseline."""
    baseline = baseline_name(plan)
    keys = ["dataset", "formulation", "objective"]
    grouped = runs[runs.objective.isin(plan.experiment.objectives)].groupby(keys, sort=False)
    table = grouped.agg(
        seconds=("training_seconds", "mean"),
        std=("training_seconds", "std"),
        memory=("memory_mb", "mean"),
        network=("network_passes", "max"),
        target=("target_passes", "max"),
        n=("seed", "count"),
    ).reset_index()
    base = table[table.objective == baseline].set_index(["dataset", "formulation"])
    lookup = [base.loc[(d, f)] for d, f in zip(table.dataset, table.formulation, strict=True)]
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "forward passes a step": [
                Cell(f"{n} + {t} of the target", n + t) for n, t in zip(table.network, table.target, strict=True)
            ],
            "training time, s": [spread(m, s) for m, s in zip(table.seconds, table["std"], strict=True)],
            "time, × baseline": [fixed(s / b.seconds, 2) for s, b in zip(table.seconds, lookup, strict=True)],
            "memory, MB": table.memory.round().astype(int),
            "memory, × baseline": [fixed(m / b.memory, 2) for m, b in zip(table.memory, lookup, strict=True)],
            "n": table.n,
        }
    )


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
