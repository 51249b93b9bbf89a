"""The findings of an experiment: each record is read once, each frame and table computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeVar

import numpy as np
import pandas as pd

from tdbench.data.archive import ImageSet, read_archive
from tdbench.experiment.plan import Plan, runs_of
from tdbench.experiment.run import Run
from tdbench.records import report, rows
from tdbench.records.floor import Floor, Floors
from tdbench.records.layout import DatasetLayout, ReportLayout
from tdbench.records.stored import Records
from tdbench.reporting import collect
from tdbench.runtime import advice

GRID = 49
"""Number of samples of a set in a figure."""
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes
    ----------
    numbers : DataFrame
        Content of the CSV file.
    readable : DataFrame
        The table for people: cells are texts (`cells.Cell`) or numbers.
    caption : str
    """

    numbers: pd.DataFrame
    readable: pd.DataFrame
    caption: str


@dataclass(frozen=True)
class Shown:
    """Samples of a run's last snapshot for figures, (N, H, W, C) uint8."""

    first: dict[int, np.ndarray]
    """Step budget -> the first `GRID` samples."""
    nearest: np.ndarray
    """The samples nearest to images of the data."""


class Findings:
    """The findings of one experiment, computed at first use and cached.

    Methods raise a `TdbenchError` if a file is missing, damaged or has other settings.

    Parameters
    ----------
    plan : Plan
    results : Path
    """

    def __init__(self, plan: Plan, results: Path) -> None:
        self.plan, self.results = plan, results
        self.layout = ReportLayout(results, plan.experiment.name)
        self.records = Records(results)
        self._kept: dict[tuple[str, ...], object] = {}

    def _once(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]  # type: ignore[assignment]
        return found

    def scores(self, part: str) -> pd.DataFrame:
        """`collect.collect_scores` of the runs that a part of the report needs (`runs_of`)."""
        return self._once(("scores", part), lambda: collect.collect_scores(runs_of(self.plan, part), self.records))

    def per_run(self, part: str) -> pd.DataFrame:
        """`collect.mean_over_snapshots` of these scores."""
        return self._once(("per run", part), lambda: collect.mean_over_snapshots(self.scores(part)))

    def runs(self, part: str) -> pd.DataFrame:
        """`collect.collect_runs` of the same runs."""
        return self._once(("runs", part), lambda: collect.collect_runs(runs_of(self.plan, part), self.records))

    def cases(self, ablation: str) -> pd.DataFrame:
        """`collect.scores_of_ablation` of an ablation."""
        make = collect.scores_of_ablation
        return self._once(("cases", ablation), lambda: make(self.plan, ablation, self.per_run("ablations")))

    @cached_property
    def consistency(self) -> pd.DataFrame:
        """`collect.collect_consistency` of the comparison."""
        return collect.collect_consistency(self.plan.comparison, self.records)

    @cached_property
    def residuals(self) -> pd.DataFrame:
        """`collect.collect_residuals` of the comparison."""
        return collect.collect_residuals(self.plan.comparison, self.records)

    @cached_property
    def mechanism(self) -> pd.DataFrame:
        """`collect.collect_mechanism` of the comparison."""
        return collect.collect_mechanism(self.plan.comparison, self.records)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """`collect.collect_curves` of the comparison."""
        return collect.collect_curves(self.plan.comparison, self.records)

    @cached_property
    def curve_scores(self) -> pd.DataFrame:
        """`collect.collect_curve_scores`."""
        return collect.collect_curve_scores(self.plan, self.records)

    @cached_property
    def floors(self) -> dict[tuple[str, str, int], Floor]:
        """(data set, library, samples) -> floor of FID."""
        features, found = self.plan.experiment.evaluation.features, {}
        for dataset, counts in self.plan.floors.items():
            files = DatasetLayout(self.results, dataset)
            for samples in counts:
                path = files.floor(features, samples)
                command = advice.floor(path, features, samples, self.plan.libraries(dataset))
                for floor in self.records.read(path, command, Floors).floors:
                    found[dataset, floor.library, samples] = floor
        return found

    def samples(self, dataset: str, formulation: str) -> int:
        """Number of samples of each set of a data set and formulation."""
        place = (dataset, formulation)
        return next(r.sampling.images for r in self.plan.comparison if (r.dataset_name, r.formulation_name) == place)

    @cached_property
    def nearest(self) -> pd.DataFrame:
        """`collect.collect_nearest` of the comparison."""
        return collect.collect_nearest(self.plan.comparison, self.records)

    def images(self, dataset: str) -> ImageSet:
        """A data set's images."""
        read = read_archive
        return self._once(("images", dataset), lambda: read(DatasetLayout(self.results, dataset).archive))

    def shown(self, run: Run) -> Shown:
        """The samples of a run for figures; each set is read once for all of them."""
        return self._once(("shown", run.name), lambda: self._read_shown(run))

    def _read_shown(self, run: Run) -> Shown:
        records, first, near = self.records.of(run), dict[int, np.ndarray](), np.zeros(0, np.uint8)
        found = records.scored.nearest
        for steps in run.sampling.steps:
            pixels = records.images_at(found.snapshot_images, steps)
            first[steps] = pixels[:GRID].copy()
            if steps == found.steps:
                near = pixels[[pair.sample for pair in found.pairs]]
        return Shown(first, near)

    def table(self, name: str) -> Table:
        """A table by the name of its files; see `records.report.TABLES`."""
        row, one = report.find_table(name, self.plan)
        return self._once(("table", name), lambda: self._made(row, one))

    def _made(self, row: rows.Table, one: rows.One) -> Table:
        numbers = resolve_name(row.numbers)(self, *one.about)
        return Table(numbers, readable(row, numbers), caption(row, one, self.plan))


def readable(row: rows.Table, numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers of a table, formatted for people."""
    found: pd.DataFrame = resolve_name(row.readable)(numbers) if row.readable else numbers
    return found


def caption(row: rows.Table, one: rows.One, plan: Plan) -> str:
    """The caption of a table."""
    said = resolve_name(row.caption) if row.caption.startswith("tdbench.") else row.caption
    return str(said(plan, *one.about) if callable(said) else said)
