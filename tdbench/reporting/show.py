"""The output of `tdbench show`, which `make reproduce` prints at its end."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.metrics import leading
from tdbench.experiment.plan import Plan
from tdbench.records.layout import ReportLayout
from tdbench.records.report import find_table
from tdbench.reporting.answer import summary
from tdbench.reporting.collect import mean_over_snapshots
from tdbench.reporting.findings import caption, readable
from tdbench.reporting.score_files import read_scores
from tdbench.reporting.statistics import by_first_library
from tdbench.reporting.tables import markdown_table
from tdbench.runtime import advice
from tdbench.runtime.progress_log import first_line


class _Commands(NamedTuple):
    """The commands that make a report, and make it again, for error messages about its files."""

    make: str
    again: str

    @classmethod
    def of(cls, plan: Plan, results: Path) -> Self:
        return cls(
            advice.snakemake(plan.path, results, only=plan.only),
            advice.command("report", *plan.arguments, results=results),
        )

    def missing(self, path: Path) -> TdbenchError:
        return TdbenchError(f"{path}: not made yet; run `{self.make}`")

    def damaged(self, path: Path, error: Exception) -> TdbenchError:
        said = first_line(error)
        return TdbenchError(f"{path}: not a file that a report writes ({said}); {advice.again(self.again)}")


def printed_tables(plan: Plan, results: Path) -> str:
    """The answer, the comparison and the ablations by FID, cost, and the libraries' agreement, as Markdown.

    Shows the first library only; the other metrics and libraries are in the files.
    """
    stored = _Stored(plan, results)
    parts = [stored.answer(), stored.whole("overall"), stored.by_fid("comparison")]
    if plan.equal_passes:
        parts.append(stored.by_fid("comparison-equal-passes"))
    parts += [stored.by_fid(f"ablation-{name}") for name in plan.ablations]
    return "\n\n".join([*parts, stored.whole("cost"), stored.whole("agreement")])


class _Stored:
    """The tables of an existing report, read from its files."""

    def __init__(self, plan: Plan, results: Path) -> None:
        self.plan, self.layout = plan, ReportLayout(results, plan.experiment.name)
        self.commands = _Commands.of(plan, results)

    def answer(self) -> str:
        """The answer in a sentence."""
        path = self.layout.scores_parquet
        if not path.exists():
            raise self.commands.missing(path)
        numbers, per_run = self._numbers("comparison"), mean_over_snapshots(read_scores(path))
        passes = self._numbers("comparison-equal-passes")
        made = self._made
        return made(self._csv("comparison"), lambda: summary(self.plan, self._leading(numbers), per_run, passes)[0])

    def by_fid(self, name: str) -> str:
        """The rows of a table with FID by the first library of each data set and formulation."""
        more = next(path for path in self.layout.table(name) if path.suffix == ".md")
        return f"{self._printed(name, self._leading)}\n\nAll metrics and libraries: {more}"

    def whole(self, name: str) -> str:
        """A table with all its rows."""
        return self._printed(name, lambda numbers: numbers)

    def _printed(self, name: str, some: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
        row, one = find_table(name, self.plan)
        numbers = self._numbers(name)
        text = self._made(self._csv(name), lambda: markdown_table(readable(row, some(numbers))))
        return f"{caption(row, one, self.plan)}\n\n{text}"

    def _leading(self, numbers: pd.DataFrame) -> pd.DataFrame:
        return by_first_library(numbers, leading(numbers.metric)).reset_index(drop=True)

    def _csv(self, name: str) -> Path:
        return next(path for path in self.layout.table(name) if path.suffix == ".csv")

    def _numbers(self, name: str) -> pd.DataFrame:
        path = self._csv(name)
        if not path.exists():
            raise self.commands.missing(path)
        try:
            # With one library the table of agreement is empty.
            if path.stat().st_size <= 1:
                return pd.DataFrame()
            row, _ = find_table(name, self.plan)
            # Formatted cells stay text, so that 1.00 does not become 1.
            return pd.read_csv(path) if row.readable else pd.read_csv(path, dtype=str, keep_default_na=False)
        except Exception as error:  # pandas raises many kinds of errors for invalid tables
            raise self.commands.damaged(path, error) from error

    def _made(self, path: Path, make: Callable[[], str]) -> str:
        """Result of ``make``; any error means that the table at ``path`` has invalid content."""
        try:
            return make()
        except Exception as error:
            raise self.commands.damaged(path, error) from error


def made_files(plan: Plan, results: Path) -> list[Path]:
    """The files of a report: tables, figures, scores, MLflow's database and the page.

    Raises
    ------
    TdbenchError
        If the report was not made yet.
    """
    layout = ReportLayout(results, plan.experiment.name)
    if not layout.html.exists():
        raise _Commands.of(plan, results).missing(layout.html)
    tables = sorted((layout.folder / "tables").glob("*.md"))
    figures = sorted((layout.folder / "figures").glob("*.png"))
    return [*tables, *figures, layout.scores_parquet, layout.scores_csv, layout.mlflow_db, layout.html]
