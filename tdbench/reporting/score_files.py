"""Files of scores that others may have written: read with their columns and types checked."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.only import OPTION
from tdbench.runtime import advice
from tdbench.runtime.files import read_json

_WHOLE = ["steps", "nfe", "seed"]
_WORDS = ["dataset", "formulation", "objective", "metric", "library", "features", "run", "reference_data"]
_NEEDED = [*_WHOLE, *_WORDS, "value"]
_LARGEST = 1e100  # score; the squares of larger ones overflow


def read_scores(path: Path) -> pd.DataFrame:
    """The scores in scores.parquet.

    Raises
    ------
    TdbenchError
        If the file is damaged, a column is missing or of the wrong type, or a score is not finite.
    """
    return checked_scores(path, lambda: pd.read_parquet(path), report_again(path.parent))


def checked_scores(path: Path, read: Callable[[], pd.DataFrame], remedy: str) -> pd.DataFrame:
    """The scores that ``read`` gives, checked; ``remedy`` ends the messages. Raises like `read_scores`."""
    try:
        scores = read()
        lacking = [column for column in _NEEDED if column not in scores]
        numeric = not lacking and bool((scores["value"].astype(float).abs() < _LARGEST).all())
        whole = not lacking and all(pd.api.types.is_integer_dtype(scores[name]) for name in _WHOLE)
        words = not lacking and all(isinstance(value, str) for name in _WORDS for value in scores[name])
    except Exception as error:  # pyarrow and pandas raise many kinds for damaged files
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise TdbenchError(f"{path}: no readable scores ({said}); {remedy}") from error
    if lacking:
        raise TdbenchError(f"{path}: has no column {lacking[0]!r}; {remedy} with this version")
    if not (whole and words):
        raise TdbenchError(f"{path}: steps, nfe and seed must be integers, and names text; {remedy}")
    if not numeric or scores.empty:
        raise TdbenchError(f"{path}: value: has no scores, or scores that are not finite; {remedy}")
    return scores


def report_again(folder: Path) -> str:
    """The command that makes the report again; plan.json has the path of the experiment file."""
    try:
        plan = read_json(folder / "plan.json", "")
        named = [Path(plan["path"]), *([OPTION, str(plan["only"])] if "only" in plan else [])]
    except (TdbenchError, LookupError, TypeError):
        return advice.again(None)
    return advice.again(advice.command("report", *named, results=folder.parent))
