"""Published figures beside our own: results/published/*.csv, one row a figure with its source and protocol."""

from typing import Any

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.plan import Plan
from tdbench.reporting.statistics import summarise
from tdbench.reporting.store import published_file
from tdbench.reporting.tables import number, spread

COLUMNS = [
    "dataset", "resolution", "network", "formulation", "objective", "steps", "metric", "features", "images",
    "snapshots", "value", "source",
]  # fmt: skip
KEY = ["dataset", "formulation", "objective", "steps", "metric"]


def read_published(name: str) -> pd.DataFrame:
    """Published figures by name.

    Raises
    ------
    TdbenchError
        If there is no such file, or a column or a value is missing.
    """
    path = published_file(name)
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise TdbenchError(f"{path}: not a CSV file ({str(error).splitlines()[0]})") from error
    if list(table.columns) != COLUMNS:
        raise TdbenchError(f"{path}: columns are {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    for column in [*KEY, "source"]:
        if table[column].isna().any():
            line = int(table[column].isna().to_numpy().argmax()) + 2
            raise TdbenchError(f"{path}: line {line}: {column} is empty; every figure has one")
    if not pd.api.types.is_numeric_dtype(table.value):
        raise TdbenchError(f"{path}: value: holds something that is not a number; leave unknown cells empty")
    return table


def published_table(plan: Plan, per_run: pd.DataFrame) -> pd.DataFrame:
    """Published figures beside ours, as people read them; empty where the experiment names none.

    Ours are those of the same data set, formulation, objective and budget, one column a library. ``comparable`` says
    what in the protocol differs; the network is for the reader to judge.
    """
    names = plan.experiment.published
    if not names:
        return pd.DataFrame()
    figures = pd.concat([read_published(name) for name in names], ignore_index=True)
    ours = summarise(per_run)
    shown = [f"{spread(m, s)} (n = {n})" for m, s, n in zip(ours["mean"], ours["std"], ours.n, strict=True)]
    ours = ours.assign(ours=shown)
    wide = ours.pivot_table(index=[*KEY, "features"], columns="library", values="ours", aggfunc="first").reset_index()
    joined = figures.merge(wide.rename(columns={"features": "our features"}), on=KEY, how="left")
    images = {
        (run.dataset_name, run.formulation_name, run.objective_name): run.sampling.images for run in plan.runs.values()
    }
    table = (
        joined[["dataset", "formulation", "objective", "network", "steps"]]
        .fillna("")
        .assign(metric=joined.metric.str.upper(), published=[number(value, 4) for value in joined.value])
    )
    for library in ours.library.unique():
        table[library] = joined[library].fillna("—")
    table["comparable"] = [
        _differs(row, images.get((row["dataset"], row["formulation"], row["objective"])))
        for row in joined.to_dict("records")
    ]
    return table.assign(source=joined.source)


def _differs(row: dict[str, Any], images: int | None) -> str:
    """How our protocol differs from that of a published figure, as far as the harness knows."""
    if images is None or pd.isna(row["our features"]):
        return "not measured here"
    reasons = []
    if row["our features"] != row["features"]:
        reasons.append(f"features {row['our features']}, not {row['features']}")
    if images != row["images"]:
        reasons.append(f"{images:,} images, not {int(row['images']):,}")
    return f"no: {', '.join(reasons)}" if reasons else "yes"
