"""Tables of the page: every cell with its sort key."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from tdbench.reporting.cells import is_empty, sorts_by


@dataclass(frozen=True)
class Column:
    """A column. Key columns have a filter if ``choosable``; ``choice`` is its initial value, "" for all."""

    name: str
    numeric: bool
    key: bool
    choosable: bool
    choice: str


@dataclass(frozen=True)
class PageTable:
    """A table for the template: ``rows`` hold (text, sort key) of every cell."""

    columns: list[Column]
    rows: list[list[tuple[str, str]]]
    caption: str


def page_table(frame: pd.DataFrame, caption: str, choices: dict[str, str] | None = None) -> PageTable:
    """Convert a table for people into a table of the page.

    Parameters
    ----------
    choices : dict
        Key column -> initial value of its filter, "" for all. Columns with one value have no filter.
    """
    choices = choices or {}
    cells = {str(name): frame[name].tolist() for name in frame}
    numeric = {name: _is_numeric(column) for name, column in cells.items()}
    columns = [
        Column(
            name=name,
            numeric=numeric[name],
            key=name in choices,
            choosable=name in choices and len(set(map(_text, column))) > 1,
            choice=choices.get(name, ""),
        )
        for name, column in cells.items()
    ]
    shown = [[(_text(cell), _key(cell, numeric[name])) for cell in column] for name, column in cells.items()]
    return PageTable(columns, [list(row) for row in zip(*shown, strict=True)], caption)


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)


def _is_numeric(column: list[Any]) -> bool:
    """Whether all cells that are not empty have a number as sort key."""
    said = [cell for cell in column if not is_empty(cell)]
    return bool(said) and all(sorts_by(cell) is not None for cell in said)


def _key(cell: Any, numeric: bool) -> str:
    """The sort key of a cell: its number or "" in a numeric column, otherwise its text."""
    if not numeric:
        return _text(cell)
    found = sorts_by(cell)
    return "" if found is None else repr(found)
