"""Published figures beside ours, from results/published/*.csv: one row per figure, with source and protocol."""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from scipy import stats

from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import LIBRARIES, LIBRARY_SPECIFIC
from tdbench.experiment.metrics import label
from tdbench.experiment.plan import Plan
from tdbench.experiment.run import Run
from tdbench.networks import NETWORKS
from tdbench.records.layout import published_file
from tdbench.reporting.cells import NOTHING, Cell, fixed, number, spread
from tdbench.reporting.findings import Findings
from tdbench.reporting.statistics import CONFIDENCE, summarise
from tdbench.runtime.progress_log import first_line

COLUMNS = [
    "dataset",
    "resolution",
    "network",
    "learning_rate",
    "formulation",
    "objective",
    "steps",
    "metric",
    "features",
    "resize",
    "images",
    "snapshots",
    "value",
    "note",
    "source",
]
KEY = ["dataset", "formulation", "objective", "steps", "metric"]
_NUMBERS = {
    "resolution": (1, 1e6),
    "learning_rate": (1e-12, 1e6),
    "steps": (1, 1e6),
    "images": (1, 1e12),
    "value": (-1e100, 1e100),
}
_WORDS = [column for column in COLUMNS if column not in _NUMBERS]
_SHOWN = ["dataset", "formulation", "objective", "network", "learning_rate", "steps", "resize"]
# Largest half-width of our interval relative to a figure that counts as reproduced: the size of published effects.
WITHIN = 0.05


def read_published(name: str) -> pd.DataFrame:
    """Published figures by name.

    Raises
    ------
    TdbenchError
        If there is no such file, or a column or a value is missing.
    """
    return read_figures(published_file(name))


def read_figures(path: Path) -> pd.DataFrame:
    """Published figures of a file; raises as `read_published` does."""
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_WORDS, str))
    except Exception as error:  # pandas raises many kinds of errors for invalid tables
        raise TdbenchError(f"{path}: not a CSV file ({first_line(error)})") from error
    if list(table.columns) != COLUMNS:
        found = ", ".join(map(str, table.columns))
        raise TdbenchError(f"{path}: columns are {found:.300}; expected {', '.join(COLUMNS)}")
    for column in [*KEY, "source"]:
        if table[column].isna().any():
            line = int(table[column].isna().to_numpy().argmax()) + 2
            raise TdbenchError(f"{path}: line {line}: {column} is empty; every row needs a value")
    for column, (least, most) in _NUMBERS.items():
        numbers = pd.api.types.is_numeric_dtype(table[column]) and not pd.api.types.is_bool_dtype(table[column])
        if not numbers and not table[column].isna().all():
            raise TdbenchError(f"{path}: {column}: has a cell that is not a number; leave unknown cells empty")
        known = table[column].dropna().astype(float)
        if not known.between(least, most).all():
            wrong = known[~known.between(least, most)].iloc[0]
            raise TdbenchError(f"{path}: {column}: {wrong:g}; expected {least:g} to {most:g}")
    return table


def published(found: Findings) -> pd.DataFrame:
    """The table of published figures of an experiment."""
    return published_table(found.plan, found.per_run("all"))


def published_table(plan: Plan, per_run: pd.DataFrame) -> pd.DataFrame:
    """Published figures of the experiment's data sets beside ours, formatted for people; empty if there are none.

    Ours have the same data set, formulation, objective and budget. Each library has two columns: mean ± standard
    deviation, and the ratio to the published figure. ``result`` says whether ours reproduces it (`_result`), or which
    difference in protocol makes them not comparable. A network that is only described in words is not compared.
    Two figures of the same budget are two rows.
    """
    names = plan.experiment.published
    if not names:
        return pd.DataFrame()
    figures = pd.concat([read_published(name) for name in names], ignore_index=True)
    figures = figures[figures.dataset.isin(plan.experiment.datasets)]
    runs = {(run.dataset_name, run.formulation_name, run.objective_name): run for run in plan.runs.values()}
    ours = [Measured(*row) for row in summarise(per_run)[list(Measured._fields)].itertuples(index=False, name=None)]
    libraries, rows = list(per_run.library.unique()), []
    for values in figures[COLUMNS].itertuples(index=False, name=None):
        figure = Figure(*values)
        found = {mine.library: mine for mine in ours if mine.key == figure.key}
        rows.append(_row(figure, libraries, found, runs.get(figure.key[:3])))
    return pd.DataFrame(rows)


class Figure(NamedTuple):
    """A published figure: a row of a file, NaN for empty cells."""

    dataset: str
    resolution: float
    network: str
    learning_rate: float
    formulation: str
    objective: str
    steps: int
    metric: str
    features: str
    resize: str
    images: float
    snapshots: str
    value: float
    note: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """Equal for a published figure and our score that is compared with it."""
        return self.dataset, self.formulation, self.objective, self.steps, self.metric


class Measured(NamedTuple):
    """Our score over seeds."""

    dataset: str
    formulation: str
    objective: str
    steps: int
    metric: str
    library: str
    features: str
    mean: float
    std: float
    n: int

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        return self.dataset, self.formulation, self.objective, self.steps, self.metric


def _row(figure: Figure, libraries: list[str], found: dict[str, Measured], run: Run | None) -> dict[str, float | str]:
    """A published figure beside our score by each library."""
    row = {key.replace("_", " "): "" if pd.isna(cell := getattr(figure, key)) else cell for key in _SHOWN}
    known = not pd.isna(figure.value)
    row |= {"metric": label(figure.metric), "published": number(figure.value, 4) if known else NOTHING}
    for name in libraries:
        mine = found.get(name)
        row[name] = Cell(f"{spread(mine.mean, mine.std)} (n = {mine.n})", mine.mean) if mine else NOTHING
        ratio = mine.mean / figure.value if mine and known and figure.value else None
        row[f"{name}, × published"] = NOTHING if ratio is None else fixed(ratio, 3)
    if not known:
        result = "no figure given"
    elif run is None or not found:
        result = "not measured here"
    else:
        result = _results(figure, found, run)
    return row | {"result": result, "note": "" if pd.isna(figure.note) else figure.note, "source": figure.source}


def _results(figure: Figure, found: dict[str, Measured], run: Run) -> str:
    """The result of each library; libraries with the same result are grouped."""
    libraries: dict[str, list[str]] = {}
    for name, mine in found.items():
        reasons = _differs_in_library(figure, mine) + _differs(figure, run)
        result = f"not comparable ({'; '.join(reasons)})" if reasons else _result(figure.value, mine)
        libraries.setdefault(result, []).append(name)
    if len(libraries) == 1:
        return next(iter(libraries))
    return "; ".join(f"{', '.join(names)}: {result}" for result, names in libraries.items())


def _differs_in_library(figure: Figure, mine: Measured) -> list[str]:
    """How a library's features differ from those of a published figure."""
    # Inception with a user's weights has another name, so it differs here too.
    if mine.features != figure.features:
        return [_against("features", mine.features, figure.features)]
    # Other features have the same resize in all libraries.
    library = LIBRARIES.get(mine.library)  # None for a library of a later version of tdbench
    if figure.features not in LIBRARY_SPECIFIC or (library is not None and figure.resize == library.resize):
        return []
    return ["resize unknown" if pd.isna(figure.resize) or library is None else "resize"]


def _differs(figure: Figure, run: Run) -> list[str]:
    """How our protocol differs from that of a published figure, the same for all libraries."""
    images, snapshots = run.sampling.images, f"last {run.evaluation.last_percent:g} %"
    reasons = []
    if pd.isna(figure.images):
        reasons.append("number of images unknown")
    elif images != figure.images:
        reasons.append(f"{images:,} images, not {int(figure.images):,}")
    if snapshots != figure.snapshots:
        reasons.append(_against("snapshots", snapshots, figure.snapshots))
    network, rate = figure.network, figure.learning_rate
    if network in NETWORKS and network != run.network.kind:
        reasons.append(_against("network", run.network.kind, network))
    if not (pd.isna(rate) or math.isclose(rate, run.training.learning_rate)):
        reasons.append(f"learning rate {run.training.learning_rate:g}, not {rate:g}")
    return reasons


def _against(what: str, ours: str, theirs: str) -> str:
    """``features classifier, not inception``."""
    return f"{what} unknown" if pd.isna(theirs) else f"{what} {ours}, not {theirs}"


def _result(published: float, mine: Measured) -> str:
    """Whether one more training of ours could give a published figure.

    The figure is compared with the 95 % prediction interval, mean ± t s sqrt(1 + 1/n) over our n seeds, because a
    published figure also varies with its own seeds. An interval wider than ± `WITHIN` would accept any figure, so the
    result is then undecided.
    """
    n = mine.n
    if n < 2:
        return "undecided (one seed)"
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * mine.std * (1 + 1 / n) ** 0.5
    if abs(published - mine.mean) > half:
        return "not reproduced"
    width = half / abs(published) if published else math.inf
    return "reproduced" if width <= WITHIN else f"undecided (our interval: ±{100 * width:.0f} %)"
