"""The address of MLflow's store, in a module of its own that imports fast."""

import os
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tdbench.errors import TdbenchError
from tdbench.records.layout import ReportLayout


def tracking_uri(results: Path) -> str:
    """MLFLOW_TRACKING_URI if it is set, otherwise a SQLite file in the results folder.

    Raises
    ------
    TdbenchError
        If the path of that file cannot be an address.
    """
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = ReportLayout(results, "").mlflow_db.resolve()
    if "?" in str(path):
        raise TdbenchError(
            f"{path}: MLflow reads everything after a question mark as options; choose a results folder without one in "
            "its path, or set MLFLOW_TRACKING_URI to a server"
        )
    return sqlite_uri(path)


def sqlite_uri(path: Path) -> str:
    """The address of a SQLite file."""
    return f"sqlite:///{path.resolve()}"


def without_password(uri: str) -> str:
    """The address without its password, for messages and files."""
    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:  # a plain path or a name such as databricks, which have no password
        return uri
