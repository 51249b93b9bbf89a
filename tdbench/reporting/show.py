"""What `make reproduce` prints at its end."""

from pathlib import Path

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.evaluation.metrics import leading
from tdbench.layout import ReportLayout
from tdbench.plan import Plan
from tdbench.reporting.collect import mean_over_snapshots
from tdbench.reporting.tables import readable_ablation, readable_comparison
from tdbench.reporting.wording import summary


def printed_tables(plan: Plan, results: Path) -> str:
    """The answer, the comparison and the ablations by FID, cost, and the libraries' agreement, as Markdown.

    By the first library alone: the other metrics and libraries would fill screens, and are in the files.
    """
    layout = ReportLayout(results, plan.experiment.name)
    comparison = _by_fid(layout.table("comparison"), plan)
    headline, _ = summary(plan, comparison, mean_over_snapshots(_scores(layout.scores_parquet, plan)))
    parts = [headline, _shown(layout.table("comparison"), readable_comparison(comparison), plan)]
    for name in plan.ablations:
        files = layout.table(f"ablation-{name}")
        parts.append(_shown(files, readable_ablation(_by_fid(files, plan)), plan))
    return "\n\n".join([*parts, *(_text(layout.table(name), plan) for name in ("cost", "agreement"))])


def _scores(path: Path, plan: Plan) -> pd.DataFrame:
    if not path.exists():
        raise TdbenchError(_advice(path, plan))
    return pd.read_parquet(path)


def _by_fid(files: list[Path], plan: Plan) -> pd.DataFrame:
    """The rows of a table that are of FID by the first library of each data set and formulation."""
    path = next(path for path in files if path.suffix == ".csv")
    if not path.exists():
        raise TdbenchError(_advice(path, plan))
    table = pd.read_csv(path)
    fid = table[table.metric == leading(table.metric)]
    first = fid.groupby(["dataset", "formulation"], sort=False)["library"].transform("first")
    return fid[fid.library == first].reset_index(drop=True)


def _shown(files: list[Path], readable: pd.DataFrame, plan: Plan) -> str:
    """The caption of a table, and some of its rows."""
    caption = _text(files, plan).partition("\n\n")[0]
    more = next(path for path in files if path.suffix == ".md")
    table = readable.to_markdown(index=False, disable_numparse=True)
    return f"{caption}\n\n{table}\n\nAll metrics and libraries: {more}"


def made_files(plan: Plan, results: Path) -> list[Path]:
    """The files that a reader starts from.

    Raises
    ------
    TdbenchError
        If the report was not made yet.
    """
    layout = ReportLayout(results, plan.experiment.name)
    if not layout.html.exists():
        raise TdbenchError(_advice(layout.html, plan))
    tables = sorted((layout.folder / "tables").glob("*.md"))
    figures = sorted((layout.folder / "figures").glob("*.png"))
    return [*tables, *figures, layout.scores_parquet, layout.scores_csv, layout.mlflow_db, layout.html]


def _advice(path: Path, plan: Plan) -> str:
    return f"{path}: not made yet; run snakemake --cores all --config experiment={plan.path}"


def _text(files: list[Path], plan: Plan) -> str:
    path = next(path for path in files if path.suffix == ".md")
    if not path.exists():
        raise TdbenchError(_advice(path, plan))
    return path.read_text(encoding="utf-8").strip()
