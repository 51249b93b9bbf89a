"""What `make reproduce` prints at its end."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from tdbench import advice
from tdbench.errors import TdbenchError
from tdbench.evaluation.metrics import leading
from tdbench.layout import ReportLayout
from tdbench.plan import Plan
from tdbench.progress_log import first_line
from tdbench.reporting.collect import mean_over_snapshots
from tdbench.reporting.reproduction import read_scores
from tdbench.reporting.tables import readable_ablation, readable_comparison
from tdbench.reporting.wording import summary


def printed_tables(plan: Plan, results: Path) -> str:
    """The answer, the comparison and the ablations by FID, cost, and the libraries' agreement, as Markdown.

    By the first library alone: the other metrics and libraries would fill screens, and are in the files.
    """
    layout = ReportLayout(results, plan.experiment.name)
    comparison = _by_fid(layout.table("comparison"), plan, results)
    scores = _scores(layout.scores_parquet, plan, results)
    answer = lambda: summary(plan, comparison, mean_over_snapshots(scores))[0]  # noqa: E731
    parts = [_readable(layout.scores_parquet, answer, plan, results)]
    parts.append(_shown(layout.table("comparison"), lambda: readable_comparison(comparison), plan, results))
    for name in plan.ablations:
        files = layout.table(f"ablation-{name}")
        table = _by_fid(files, plan, results)
        parts.append(_shown(files, partial(readable_ablation, table), plan, results))
    return "\n\n".join([*parts, *(_text(layout.table(name), plan, results) for name in ("cost", "agreement"))])


def _scores(path: Path, plan: Plan, results: Path) -> pd.DataFrame:
    if not path.exists():
        raise TdbenchError(_advice(path, plan, results))
    return read_scores(path)


def _by_fid(files: list[Path], plan: Plan, results: Path) -> pd.DataFrame:
    """The rows of a table that are of FID by the first library of each data set and formulation."""
    path = next(path for path in files if path.suffix == ".csv")
    if not path.exists():
        raise TdbenchError(_advice(path, plan, results))
    try:
        table = pd.read_csv(path)
        fid = table[table.metric == leading(table.metric)]
        first = fid.groupby(["dataset", "formulation"], sort=False)["library"].transform("first")
        return fid[fid.library == first].reset_index(drop=True)
    except Exception as error:  # pandas raises many kinds for what is no such table
        raise _damaged(path, plan, results, error) from error


def _shown(files: list[Path], readable: Callable[[], pd.DataFrame], plan: Plan, results: Path) -> str:
    """The caption of a table, and some of its rows."""
    caption = _text(files, plan, results).partition("\n\n")[0]
    more = next(path for path in files if path.suffix == ".md")
    table = _readable(files[0], lambda: readable().to_markdown(index=False, disable_numparse=True), plan, results)
    return f"{caption}\n\n{table}\n\nAll metrics and libraries: {more}"


def _readable(path: Path, make: Callable[[], str], plan: Plan, results: Path) -> str:
    """What is made of a table that has the form of one of ours, but perhaps not the content."""
    try:
        return make()
    except Exception as error:
        raise _damaged(path, plan, results, error) from error


def made_files(plan: Plan, results: Path) -> list[Path]:
    """The files that a reader starts from.

    Raises
    ------
    TdbenchError
        If the report was not made yet.
    """
    layout = ReportLayout(results, plan.experiment.name)
    if not layout.html.exists():
        raise TdbenchError(_advice(layout.html, plan, results))
    tables = sorted((layout.folder / "tables").glob("*.md"))
    figures = sorted((layout.folder / "figures").glob("*.png"))
    return [*tables, *figures, layout.scores_parquet, layout.scores_csv, layout.mlflow_db, layout.html]


def _advice(path: Path, plan: Plan, results: Path) -> str:
    return f"{path}: not made yet; run `{advice.snakemake(plan.path, results)}`"


def _text(files: list[Path], plan: Plan, results: Path) -> str:
    path = next(path for path in files if path.suffix == ".md")
    if not path.exists():
        raise TdbenchError(_advice(path, plan, results))
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise _damaged(path, plan, results, error) from error


def _damaged(path: Path, plan: Plan, results: Path, error: Exception) -> TdbenchError:
    command = advice.command("report", plan.path, results=results)
    return TdbenchError(f"{path}: not as a report has it ({first_line(error)}); run `{command}` again")
