"""Where MLflow keeps what is tracked (apart from `tracking`, whose import of MLflow is slow)."""

import os
from pathlib import Path

from tdbench.layout import ReportLayout


def tracking_uri(results: Path) -> str:
    """MLFLOW_TRACKING_URI where the user set it, else a SQLite file in the results."""
    local = f"sqlite:///{ReportLayout(results, '').mlflow_db.resolve()}"
    return os.environ.get("MLFLOW_TRACKING_URI") or local
