"""What `make reproduce` prints at its end."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.metrics import leading
from tdbench.experiment.run import Plan
from tdbench.records.layout import ReportLayout
from tdbench.reporting.captions import summary
from tdbench.reporting.collect import mean_over_snapshots
from tdbench.reporting.compare import read_scores
from tdbench.reporting.statistics import by_first_library
from tdbench.reporting.tables import readable_ablation, readable_comparison
from tdbench.runtime import advice
from tdbench.runtime.progress_log import first_line


class _Commands(NamedTuple):
    """What makes a report, and what makes it anew: for messages about its files."""

    make: str
    again: str

    @classmethod
    def of(cls, plan: Plan, results: Path) -> Self:
        return cls(advice.snakemake(plan.path, results), advice.command("report", plan.path, results=results))

    def missing(self, path: Path) -> TdbenchError:
        return TdbenchError(f"{path}: not made yet; run `{self.make}`")

    def damaged(self, path: Path, error: Exception) -> TdbenchError:
        return TdbenchError(f"{path}: not as a report has it ({first_line(error)}); {advice.again(self.again)}")


def printed_tables(plan: Plan, results: Path) -> str:
    """The answer, the comparison and the ablations by FID, cost, and the libraries' agreement, as Markdown.

    By the first library alone: the other metrics and libraries would fill screens, and are in the files.
    """
    layout, commands = ReportLayout(results, plan.experiment.name), _Commands.of(plan, results)
    comparison = _by_fid(layout.table("comparison"), commands)
    scores = _scores(layout.scores_parquet, commands)
    means = mean_over_snapshots
    parts = [_readable(layout.scores_parquet, lambda: summary(plan, comparison, means(scores))[0], commands)]
    parts.append(_shown(layout.table("comparison"), lambda: readable_comparison(comparison), commands))
    for name in plan.ablations:
        files = layout.table(f"ablation-{name}")
        table = _by_fid(files, commands)
        parts.append(_shown(files, partial(readable_ablation, table), commands))
    return "\n\n".join([*parts, *(_text(layout.table(name), commands) for name in ("cost", "agreement"))])


def _scores(path: Path, commands: _Commands) -> pd.DataFrame:
    if not path.exists():
        raise commands.missing(path)
    return read_scores(path)


def _by_fid(files: list[Path], commands: _Commands) -> pd.DataFrame:
    """The rows of a table that are of FID by the first library of each data set and formulation."""
    path = next(path for path in files if path.suffix == ".csv")
    if not path.exists():
        raise commands.missing(path)
    try:
        table = pd.read_csv(path)
        return by_first_library(table, leading(table.metric)).reset_index(drop=True)
    except Exception as error:  # pandas raises many kinds for what is no such table
        raise commands.damaged(path, error) from error


def _shown(files: list[Path], readable: Callable[[], pd.DataFrame], commands: _Commands) -> str:
    """The caption of a table, and some of its rows."""
    caption = _text(files, commands).partition("\n\n")[0]
    more = next(path for path in files if path.suffix == ".md")
    table = _readable(files[0], lambda: readable().to_markdown(index=False, disable_numparse=True), commands)
    return f"{caption}\n\n{table}\n\nAll metrics and libraries: {more}"


def _readable(path: Path, make: Callable[[], str], commands: _Commands) -> str:
    """What is made of a table that has the form of one of ours, but perhaps not the content."""
    try:
        return make()
    except Exception as error:
        raise commands.damaged(path, error) from error


def made_files(plan: Plan, results: Path) -> list[Path]:
    """The files that a reader starts from.

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


def _text(files: list[Path], commands: _Commands) -> str:
    path = next(path for path in files if path.suffix == ".md")
    if not path.exists():
        raise commands.missing(path)
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise commands.damaged(path, error) from error
