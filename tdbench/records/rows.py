"""What a table and a figure of a report are: a name, a part of the report, and the functions that make it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Part = Literal["comparison", "ablations", "page"]
PARTS: tuple[Part, ...] = ("comparison", "ablations", "page")
"""``comparison`` needs the runs of the comparison, ``ablations`` those of the ablations, ``page`` all."""


class Named(Protocol):
    """What the names of tables and figures depend on: a `Plan`."""

    @property
    def pairs(self) -> Iterable[tuple[str, str]]:
        """Every data set with every formulation."""

    @property
    def ablations(self) -> Iterable[str]: ...


class One(NamedTuple):
    """A table or a figure of an experiment."""

    name: str
    """Used for its files and on the page."""
    about: tuple[str, ...]
    """Further arguments of its functions: data set and formulation, or an ablation, or nothing."""


@dataclass(frozen=True)
class Row:
    """The fields that tables and figures share.

    Attributes
    ----------
    name : str
    part : str
    about : str
        A line for the documentation.
    each : str
        ``pair`` for one per data set and formulation, ``ablation`` for one per ablation, empty for a single one.
    """

    name: str
    part: Part
    about: str
    each: Literal["", "pair", "ablation"] = ""

    def of(self, plan: Named) -> Iterator[One]:
        """The tables or figures that an experiment has of this row."""
        if self.each == "pair":
            yield from (One(f"{self.name}-{'-'.join(pair)}", pair) for pair in plan.pairs)
        elif self.each == "ablation":
            yield from (One(f"{self.name}-{name}", (name,)) for name in plan.ablations)
        else:
            yield One(self.name, ())


@dataclass(frozen=True)
class Table(Row):
    """A table.

    Attributes
    ----------
    numbers : str
        Function (`Findings`, about) -> DataFrame: what the CSV file holds.
    readable : str
        Function (that DataFrame) -> DataFrame for people, whose cells are texts (`cells.Cell`) or numbers; empty if
        the numbers are shown as they are.
    caption : str
        A text, or a function (`Plan`, about) -> text.
    on_disk : bool
        Whether it has files of its own; otherwise it is only on the page.
    """

    numbers: str = ""
    readable: str = ""
    caption: str = ""
    on_disk: bool = True


@dataclass(frozen=True)
class Figure(Row):
    """A figure.

    Attributes
    ----------
    draw : str
        Function (`Findings`, about) -> matplotlib's Figure.
    describe : str
        Function (`Findings`, about) -> what it shows, in words and numbers.
    """

    draw: str = ""
    describe: str = ""
