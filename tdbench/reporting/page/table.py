"""Tables as the page shows them: every cell with what it is sorted by."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

_NUMBER = re.compile(r"(?P<bound>[<>]?) ?(?P<number>[+\-−]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?)(?=$|[ ,])")
_ABSENT = ("", "—", "–")


@dataclass(frozen=True)
class Column:
    """A column. Of a key column a reader chooses a value; ``choice`` is the one at first, "" for all."""

    name: str
    numeric: bool
    key: bool
    choosable: bool
    choice: str


@dataclass(frozen=True)
class PageTable:
    """A table for the template: ``rows`` hold (text, what it is sorted by) of every cell."""

    columns: list[Column]
    rows: list[list[tuple[str, str]]]
    caption: str


def page_table(frame: pd.DataFrame, caption: str, choices: dict[str, str] | None = None) -> PageTable:
    """A readable table for the page.

    Parameters
    ----------
    choices : dict
        Key columns, whose values a reader can choose from where there are several -> what is chosen at first, "" for
        all.
    """
    choices = choices or {}
    texts = [[_text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    keys = [_keys([row[i] for row in texts]) for i in range(len(frame.columns))]
    columns = [
        Column(
            name=str(name),
            numeric=keys[i] is not None,
            key=name in choices,
            choosable=name in choices and len({row[i] for row in texts}) > 1,
            choice=choices.get(str(name), ""),
        )
        for i, name in enumerate(frame.columns)
    ]
    rows = [
        [(text, text if (numbers := keys[i]) is None else numbers[line]) for i, text in enumerate(row)]
        for line, row in enumerate(texts)
    ]
    return PageTable(columns, rows, caption)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _keys(texts: list[str]) -> list[str] | None:
    """The number that each cell begins with, "" where there is none; None for a column of words.

    ``41.7 ± 12`` is sorted by 41.7, ``< 0.001`` below 0.001, ``> 1000`` above 1000.
    """
    keys = [None if text in _ABSENT else _number(text) for text in texts]
    present = [key for key, text in zip(keys, texts, strict=True) if text not in _ABSENT]
    if not present or any(key is None for key in present):
        return None
    return ["" if key is None else repr(key) for key in keys]


def _number(text: str) -> float | None:
    found = _NUMBER.match(text)
    if found is None:
        return None
    value = float(found["number"].replace("−", "-").replace(",", ""))
    return value * {"<": 1 - 1e-9, ">": 1 + 1e-9, "": 1}[found["bound"]]
