"""Reference results as the pages show them: sentences, rows and tables as Markdown."""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from tdbench.experiment.expand import expand
from tdbench.experiment.metrics import label
from tdbench.experiment.plan import Plan
from tdbench.experiment.schema import Experiment
from tdbench.records.reference_results import RECORD
from tdbench.reporting.answer import summary, verdict_counts
from tdbench.reporting.cells import interval, number, spread
from tdbench.reporting.collect import BASELINE
from tdbench.reporting.reference_results import read_reference
from tdbench.reporting.tables import markdown_table, outcome


class Kept:
    """The reference results of an experiment.

    Parameters
    ----------
    folder : Path
        What `tdbench keep` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record, self.per_run = read_reference(folder)

    @cached_property
    def plan(self) -> Plan:
        return expand(Experiment.model_validate(self.record.settings), self.folder / RECORD)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the report, with empty texts for missing ones."""
        found = pd.read_csv(self.folder / "tables" / f"{name}.csv")
        words = found.select_dtypes(exclude="number").columns
        return found.assign(**{column: found[column].fillna("") for column in words})

    @property
    def name(self) -> str:
        return self.record.experiment

    @property
    def commit(self) -> str:
        return ", ".join(commit[:7] for commit in self.record.commits)

    @property
    def seeds(self) -> str:
        """``seeds 0 to 4`` or ``seeds 0, 2``."""
        seeds = self.record.seeds
        if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
            return f"seeds {seeds[0]} to {seeds[-1]}"
        return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"

    @property
    def hours(self) -> str:
        """Hours of one core, in training, sampling and scoring."""
        return f"{sum(stage.seconds for stage in self.record.stages.values()) / 3600:.2g}"

    @property
    def kimg(self) -> str:
        """The length of the trainings of the comparison."""
        return f"{self.record.settings['training']['duration_kimg']:g}"

    @property
    def steps(self) -> str:
        """The training steps of the comparison."""
        training = self.record.settings["training"]
        return f"{training['duration_kimg'] * 1000 / training['batch_size']:,.0f}"

    @property
    def headline(self) -> str:
        """The answer that the report begins with."""
        images, passes = self.table("comparison"), self.table("comparison-equal-passes")
        return with_minus(summary(self.plan, images, self.per_run, passes)[0])

    def counts(self, metric: str = "fid", passes: bool = False) -> dict[str, int]:
        """Verdict -> number of rows; and how many rows are decided, saturated, or of trainings that still learn."""
        rows = self.rows(metric, passes)
        known = rows[["baseline_training", "objective_training"]].isin(["flattened"]).all(axis=1)
        return verdict_counts(rows) | {
            "rows": len(rows),
            "decided": int(rows.verdict.isin(["better", "worse"]).sum()),
            "saturated": int((rows.saturated == "both").sum()),
            "still learning": int((~known).sum()),
        }

    def rows(self, metric: str = "fid", passes: bool = False, **where: Any) -> pd.DataFrame:
        """Rows of a comparison, such as those where ``formulation`` is ``edm`` and ``steps`` is in a list."""
        table = self.table("comparison-equal-passes" if passes else "comparison")
        table = table[table.metric == metric]
        for column, values in where.items():
            table = table[table[column].isin(values if isinstance(values, list | tuple) else [values])]
        return table

    def both(self, metric: str = "fid", **where: Any) -> str:
        """A Markdown table of both comparisons."""
        return as_table(self.lines(metric, **where))

    def lines(self, metric: str = "fid", **where: Any) -> Iterator[dict[str, Any]]:
        """The rows of both comparisons, formatted, for `as_table`."""
        place = ["dataset", "formulation", "objective", "steps"]
        passes = self.rows(metric, passes=True, **where).set_index(place)
        for row in self.rows(metric, **where).itertuples():
            other = passes.loc[(row.dataset, row.formulation, row.objective, row.steps)]
            same = other.baseline_mean == row.baseline_mean and other.difference == row.difference
            yield {
                "data": row.dataset,
                "formulation": row.formulation,
                "objective": row.objective,
                "steps": row.steps,
                "NFE": row.nfe,
                f"baseline {label(metric)}": spread(row.baseline_mean, row.baseline_std),
                f"TD {label(metric)}": spread(row.td_mean, row.td_std),
                "equal images [95 %]": difference(row),
                "equal passes [95 %]": "the same" if same else difference(other),
                "verdicts": verdicts(row.verdict, other.verdict),
            }

    def learning(self) -> str:
        """A Markdown table: what twice the length would improve, for each training that has a curve."""
        table = self.table("learning")
        lines = [
            {
                "formulation": row.formulation,
                "objective": row.objective,
                "steps": row.steps,
                "kimg": number(row.kimg, 4),
                "twice the length improves by": with_minus(
                    f"{100 * row.improvement:.0f} % [{100 * row.low:.0f}, {100 * row.high:.0f}]"
                ),
                "the training": row.status,
            }
            for row in table.itertuples()
        ]
        return markdown_table(pd.DataFrame(lines))

    def metrics(self) -> str:
        """A Markdown table: how often each objective is better, worse so far and so on, by metric, at equal images."""
        table = self.table("comparison")
        counted = [
            {"metric": label(str(name)), **verdict_counts(rows)} for name, rows in table.groupby("metric", sort=False)
        ]
        return markdown_table(pd.DataFrame(counted).fillna(0))

    def residuals(self) -> str:
        """A Markdown table: the residual between two times, of the baseline and of TD."""
        table = self.table("consistency")
        lines = [
            {
                "formulation": row.formulation,
                "objective": row.objective,
                "baseline": spread(row.baseline_mean, row.baseline_std),
                "TD": spread(row.td_mean, row.td_std),
                "TD − baseline [95 %]": difference(row),
                "TD's is": row.verdict.replace("better", "smaller").replace("worse", "larger"),
            }
            for row in table[table.metric == "residual"].itertuples()
        ]
        return markdown_table(pd.DataFrame(lines))

    def times(self) -> str:
        """``1.3 to 1.5 times``: the training time of the objectives over their baselines'."""
        table = self.table("cost")
        ratios = table[table.objective != self.plan.experiment.baseline]["time, × baseline"]
        return f"{number(ratios.min(), 3)} to {number(ratios.max(), 3)} times"

    def outcome(self, ablation: str) -> str:
        """What came out of an ablation, in a sentence."""
        return with_minus(outcome(self.table(f"ablation-{ablation}")))

    def ablations(self) -> Iterator[tuple[str, str]]:
        """Name and outcome of each ablation."""
        for name in self.plan.ablations:
            yield name, self.outcome(name)

    def search(self, ablation: str) -> str:
        """A Markdown table of an ablation: one row a case, one column a step budget, the best case of each in bold."""
        cases = self.plan.ablations[ablation]
        baseline = self.plan.experiment.baseline
        # A case that is the baseline itself stands in the baseline's row.
        names = {BASELINE if case.objective_name == baseline else case.label: case.label for case in cases}
        table = self.table(f"ablation-{ablation}")
        table = table[(table.metric == "fid") & table["case"].isin(names)].replace({"case": names})
        best = table.groupby("steps")["mean"].transform("min")
        shown = [
            f"**{spread(m, s)}**" if m == b else str(spread(m, s))
            for m, s, b in zip(table["mean"], table["std"], best, strict=True)
        ]
        wide = table.assign(shown=shown).pivot(index="case", columns="steps", values="shown")
        wide = wide.reindex([case.label for case in cases])
        return markdown_table(
            wide.rename(columns=lambda steps: f"{steps} steps").rename_axis(columns=None).reset_index()
        )


def as_table(*parts: Iterable[dict[str, Any]]) -> str:
    """A Markdown table of `Kept.lines`; without the columns of places that all rows share."""
    lines = [line for part in parts for line in part]
    shared = [key for key in ("data", "formulation", "objective") if len({line[key] for line in lines}) == 1]
    return markdown_table(pd.DataFrame(lines).drop(columns=shared))


def with_minus(text: str) -> str:
    """A text with true minus signs before numbers; hyphens stay."""
    return re.sub(r"(?<![\w-])-(?=[\d.])", "−", text)


def difference(row: Any) -> str:
    """``−0.26 [−0.55, +0.02]``."""
    return with_minus(str(interval(row.difference, row.difference_low, row.difference_high)))


def verdicts(images: str, passes: str) -> str:
    """Both verdicts, or one word for both."""
    first, second = (text.replace("undecided: ", "undecided, ") for text in (images, passes))
    return f"{first}, both" if first == second else f"{first}; {second}"
