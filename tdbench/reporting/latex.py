"""Tables for papers: LaTeX that compiles in an article with booktabs and longtable, and fits its page.

Contains what a paper prints: the leading metric by its first library. Columns with the same value in every row move to
the caption. The CSV beside it has every row and column.
"""

from collections.abc import Sequence

import pandas as pd
from pylatexenc.latexencode import UnicodeToLatexEncoder

from tdbench.errors import TdbenchError, printable
from tdbench.reporting.statistics import by_first_library
from tdbench.validation import did_you_mean

PREAMBLE = r"% needs \usepackage[T1]{fontenc} \usepackage{array,booktabs,longtable}"
NOT_PRINTED = ("p, corrected", "seeds to decide", "memory, MB", "samples")
"""Columns that are only in the CSV."""
TOLD_IN_CAPTION = ("data", "formulation", "objective", "metric", "library", "features", "libraries", "n")
"""Columns that move to the caption if all rows have the same value."""
_PAGE_PT, _BETWEEN_PT = 355, 6
"""A little less than the text width of an A4 article at 11 pt, and the space between two columns."""
_SIZES = {r"\small": 10, r"\footnotesize": 9, r"\scriptsize": 8, r"\tiny": 6}
"""Font size in such an article -> one em in pt."""
_WIDEST_EM = 14.0
"""Maximum width of a column of text; longer text takes several lines."""
_WIDTHS_EM = ((" ", 0.34), ("[]().,;:'|!ijltfrI", 0.34), ("+−±×=<>≤≥∞‖", 0.8), ("mwMW%", 0.85), ("—", 1.0))
"""Approximate widths of characters in Computer Modern, em; others have 0.52, capitals 0.72."""
_ENCODER = UnicodeToLatexEncoder(unknown_char_policy="unihex", unknown_char_warning=False)


def latex(text: str) -> str:
    """Text escaped for LaTeX; characters that its fonts lack become ``U+4E2D``."""
    encoded: str = _ENCODER.unicode_to_latex(printable(" ".join(text.split())))
    # At the start of a row, "[" would be read as an option of the previous line break.
    return encoded.replace("[", "{[}").replace("]", "{]}")


def latex_table(readable: pd.DataFrame, caption: str, label: str, columns: Sequence[str] = ()) -> str:
    """A table as LaTeX.

    Parameters
    ----------
    readable : DataFrame
        The table for people, as in the Markdown file.
    label : str
        The argument of ``\\ref``.
    columns : sequence of str
        Columns to print, in this order, instead of the default ones; unknown columns are skipped.
    """
    printed = readable if columns else _leading(readable)
    chosen = [name for name in columns if name in readable] or [
        str(name) for name in printed if name not in NOT_PRINTED
    ]
    alike = [] if columns or len(printed) < 2 else [name for name in chosen if printed[name].nunique() == 1]
    told = [name for name in alike if name in TOLD_IN_CAPTION]
    shown = printed[[name for name in chosen if name not in told]].map(str)
    facts = "; ".join(f"{name}{' =' if name == 'n' else ''} {printed[name].iloc[0]}" for name in told)
    text = f"{caption} {facts[0].upper()}{facts[1:]}." if facts else caption
    if shown.empty:
        # longtable accepts no table without columns; the label still works.
        return f"{PREAMBLE}\n\\begin{{table}}\\caption{{{latex(text)}}}\\label{{{label}}}No rows.\\end{{table}}\n"
    body = (
        shown.rename(columns=latex)
        .map(latex)
        .to_latex(
            index=False, escape=False, longtable=True, caption=latex(text), label=label, column_format=_format(shown)
        )
    )
    body = body.replace(r"Continued on next page", r"continued on the next page")
    return f"{PREAMBLE}\n{{{_size(shown)}\\setlength{{\\tabcolsep}}{{3pt}}\n{body}}}\n"


def check_columns(columns: Sequence[str], known: Sequence[str]) -> None:
    """Check that some table has each of the columns.

    Raises
    ------
    TdbenchError
        If a column is not in ``known``.
    """
    for name in columns:
        if name not in known:
            listed = ", ".join(map(repr, dict.fromkeys(known)))
            raise TdbenchError(f"--columns {name!r}: no such column{did_you_mean(name, known)}; known: {listed}")


def _leading(readable: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first metric and the first library, which a paper prints."""
    if readable.empty or not {"metric", "library"} <= set(readable):
        return readable
    cell = [name for name in ("data", "formulation") if name in readable]
    return by_first_library(readable, readable["metric"].iloc[0], cell)


def _em(text: str) -> float:
    """Estimated width of a text, em."""
    special = {character: width for characters, width in _WIDTHS_EM for character in characters}
    return sum(special.get(character, 0.72 if character.isupper() else 0.52) for character in text)


def _widths(shown: pd.DataFrame) -> list[float]:
    """Width of each column, em; a header may break between words."""
    return [
        max([*map(_em, str(name).split()), *(min(_em(text), _WIDEST_EM) for text in shown[name])]) for name in shown
    ]


def _format(shown: pd.DataFrame) -> str:
    """Column format with columns as wide as their text."""
    return "".join(rf">{{\raggedright\arraybackslash}}p{{{width:.1f}em}}" for width in _widths(shown))


def _size(shown: pd.DataFrame) -> str:
    """The largest font size at which all columns fit the page."""
    width, between = sum(_widths(shown)), _BETWEEN_PT * len(shown.columns)
    return next((size for size, em in _SIZES.items() if width * em + between <= _PAGE_PT), r"\tiny")
