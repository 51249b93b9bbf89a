"""What `make reproduce` prints at its end."""

from pathlib import Path

from tdbench.errors import TdbenchError
from tdbench.layout import ReportLayout
from tdbench.plan import Plan


def printed_tables(plan: Plan, results: Path) -> str:
    """The tables of the comparison, of the ablations and of the libraries' agreement, as Markdown."""
    layout = ReportLayout(results, plan.experiment.name)
    names = ["comparison", *(f"ablation-{name}" for name in plan.ablations), "cost", "agreement"]
    files = [next(path for path in layout.table(name) if path.suffix == ".md") for name in names]
    return "\n\n".join(_read(file, plan) for file in files)


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


def _read(path: Path, plan: Plan) -> str:
    if not path.exists():
        raise TdbenchError(_advice(path, plan))
    return path.read_text(encoding="utf-8").strip()
