"""Where MLflow keeps what is tracked (apart from `tracking`, whose import of MLflow is slow)."""

import os
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tdbench.layout import ReportLayout


def tracking_uri(results: Path) -> str:
    """MLFLOW_TRACKING_URI where the user set it, else a SQLite file in the results."""
    local = f"sqlite:///{ReportLayout(results, '').mlflow_db.resolve()}"
    return os.environ.get("MLFLOW_TRACKING_URI") or local


def without_password(uri: str) -> str:
    """The address as it may be shown and stored."""
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:  # a plain path or a name such as databricks, which hold none
        return uri
