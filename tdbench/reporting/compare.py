"""`tdbench compare`: are two reproductions of an experiment, on two machines or of two commits, the same?

Compares cell by cell and seed by seed. Scores are the same if they are equal or differ only by rounding. Larger
differences can come from training, which amplifies any change, such as another kernel's order of summation, until two
runs of one seed are independent samples. Then the question is whether the scores differ on average; a paired test over
the seeds answers it, corrected for the number of cells.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.metrics import METRICS
from tdbench.records.reference_results import RECORD
from tdbench.reporting.cells import NOTHING, Cell, interval, number, place_columns, probability
from tdbench.reporting.collect import CELL, mean_over_snapshots
from tdbench.reporting.reference_results import read_reference, reference_folder
from tdbench.reporting.score_files import read_scores, report_again
from tdbench.reporting.statistics import decide, in_order, paired_difference

TOLERANCE = 1e-3
UNDISTINGUISHED = "no difference found"
SAME = ("identical", "within tolerance", UNDISTINGUISHED)
_ORIGIN = {"git_commit": "commit", "torch": "torch", "device": "device", "data": "data"}


class Reproduction(NamedTuple):
    """The scores of one experiment from one reproduction."""

    folder: Path
    scores: pd.DataFrame
    origin: dict[str, str]
    """Commit, torch, device and data checksum of its runs; all values if they differ."""
    is_reference: bool = False
    """Whether these are reference results, of which another reproduction may have a part only."""


def read_reproductions(results: Path) -> dict[str, Reproduction]:
    """Experiment name -> its scores, from a results folder, the folder of one experiment, or reference results.

    Raises
    ------
    TdbenchError
        If the folder does not exist or has no report, or a file is damaged.
    """
    if not results.is_dir():
        found = "is a file" if results.exists() else "no such folder"
        raise TdbenchError(f"{results}: {found}; give a results folder, or the folder of one experiment in it")
    references = [results] if (results / RECORD).is_file() else [path.parent for path in results.glob(f"*/{RECORD}")]
    if references:
        return {path.resolve().name: _reference(path) for path in sorted(references)}
    files = [results / "scores.parquet"] if (results / "scores.parquet").is_file() else []
    files = files or sorted(results.glob("*/scores.parquet"))
    if not files:
        raise TdbenchError(f"{results}: no experiment with scores.parquet in it; {report_again(results)}")
    return {path.parent.resolve().name: Reproduction(path.parent, read_scores(path), _origin(path)) for path in files}


def _reference(folder: Path) -> Reproduction:
    record, scores = read_reference(folder)
    devices = [f"{hardware.device}" for hardware in record.hardware]
    origin = {
        "commit": ", ".join(commit[:12] for commit in record.commits),
        "torch": record.versions.get("torch", "unknown"),
        "device": ", ".join(dict.fromkeys(devices)),
        "data": ", ".join(sorted(data.sha256[:12] for data in record.data.values())),
    }
    return Reproduction(folder, scores, origin, is_reference=True)


def _origin(scores: Path) -> dict[str, str]:
    path = scores.with_name("runs.csv")
    try:
        runs = pd.read_csv(path, dtype=str)
        found = {key: sorted(set(runs[key].dropna())) for key in _ORIGIN}
    except FileNotFoundError:
        return {}
    except Exception as error:  # pandas raises many kinds of errors for invalid tables
        raise TdbenchError(f"{path}: not a table of runs ({error}); {report_again(path.parent)}") from error
    return {_ORIGIN[key]: ", ".join(value[:12] for value in values) for key, values in found.items()}


def compare_scores(
    a: pd.DataFrame, b: pd.DataFrame, tolerance: float = TOLERANCE, b_has_more: bool = False
) -> pd.DataFrame:
    """One row per cell of A or B: both means over the common seeds, B - A paired by seed, and a verdict.

    Parameters
    ----------
    a, b : DataFrame
        Scores of two reproductions, as in scores.parquet.
    tolerance : float
        Relative difference |a - b| / max(|a|, |b|) of a seed's scores up to which they count as the same.
    b_has_more : bool
        Whether seeds that only B has are left out of account.

    Returns
    -------
    DataFrame
        ``verdict`` is one of `SAME`; ``different`` (the paired interval, corrected for the number of cells, excludes
        zero); ``undecided (one seed)``; ``only in A``, ``only in B`` or ``some
        seeds only in`` one of them; or ``other data``, where the reference images are not the same.
    """
    sides = {name: _per_seed(scores) for name, scores in (("a", a), ("b", b))}
    joined = sides["a"].merge(sides["b"], on=[*CELL, "seed"], how="outer", suffixes=("_a", "_b"))
    if b_has_more:
        in_both = joined.value_a.notna() & joined.value_b.notna()
        some = in_both.groupby([joined[key] for key in CELL], sort=False).transform("any")
        joined = joined[joined.value_a.notna() | ~some]
    rows = [_row(cell, group) for cell, group in joined.groupby(CELL, sort=False)]
    table = pd.DataFrame(rows)
    parts = [decide(part) for _, part in table.groupby(["metric", "library"], sort=False)]
    table = pd.concat(parts)
    table["verdict"] = [_verdict(row, tolerance) for row in table.itertuples()]
    both = pd.concat([a, b])
    by, objectives = (
        ["dataset", "formulation", "objective", "metric", "library", "steps"],
        list(both.objective.unique()),
    )
    return table.drop(columns="seeds_needed").sort_values(
        by, key=in_order(both, objective=objectives, metric=list(METRICS)), ignore_index=True
    )


def _per_seed(scores: pd.DataFrame) -> pd.DataFrame:
    data = scores.groupby([*CELL, "seed"], sort=False)["reference_data"].first()
    return mean_over_snapshots(scores).drop(columns=["run", "snapshots"]).merge(data.reset_index(), on=[*CELL, "seed"])


def _row(cell: tuple[Any, ...], group: pd.DataFrame) -> dict[str, Any]:
    both = group.dropna(subset=["value_a", "value_b"])
    row = dict(zip(CELL, cell, strict=True)) | {
        "n": len(both),
        "only_a": int(group.value_b.isna().sum()),
        "only_b": int(group.value_a.isna().sum()),
        "same_data": bool((both.reference_data_a == both.reference_data_b).all()),
        "a": both.value_a.mean(),
        "b": both.value_b.mean(),
        "largest": np.nan,
    }
    if both.empty:
        nothing = dict.fromkeys(("difference", "difference_std", "difference_low", "difference_high", "p"), np.nan)
        return row | nothing
    apart, scale = (both.value_b - both.value_a).abs(), both[["value_a", "value_b"]].abs().max(axis=1)
    found = paired_difference(both.value_b.to_numpy(), both.value_a.to_numpy())
    return row | {
        "largest": float((apart / scale.where(scale > 0, 1)).max()),
        "difference": found.mean,
        "difference_std": found.std,
        "difference_low": found.low,
        "difference_high": found.high,
        "p": found.p,
    }


def _verdict(row: Any, tolerance: float) -> str:
    if row.only_a or row.only_b:
        return ("only in " if row.n == 0 else "some seeds only in ") + ("A" if row.only_a else "B")
    if not row.same_data:
        return "other data"
    if row.largest == 0:
        return "identical"
    if row.largest <= tolerance:
        return "within tolerance"
    if row.n < 2:
        return str(row.verdict)
    return "different" if row.verdict in ("better", "worse") else UNDISTINGUISHED


def compare_results(a: Path, b: Path, tolerance: float, every_cell: bool, brief: bool = False) -> tuple[str, bool]:
    """The output of `tdbench compare`, and whether no difference was found.

    Parameters
    ----------
    b : Path
        ``reference`` are the project's reference results: then only the experiments, cells and seeds of A count.
    brief : bool
        Only a line for each experiment.

    Raises
    ------
    TdbenchError
        If there is nothing to compare.
    """
    ours, folder = read_reproductions(a), reference_folder(b)
    kept = any(folder.glob(f"*/{RECORD}"))
    theirs = read_reproductions(folder) if kept or folder == b else {}
    to_reference, b = all(side.is_reference for side in theirs.values()), folder
    if len(ours) == len(theirs) == 1 and not to_reference:
        # The only experiments of both folders are compared even if their names differ.
        theirs = dict(zip(ours, theirs.values(), strict=True))
    names = [name for name in ours if name in theirs]
    if to_reference:
        known = ", ".join(theirs) or "none"
        lonely = [f"{name}: no reference results; {b} has {known}" for name in ours if name not in theirs]
    elif not names:
        raise TdbenchError(f"{a} and {b} have no experiment in common: {', '.join(ours)} and {', '.join(theirs)}")
    else:
        lonely = [f"{name}: only in A" for name in ours if name not in theirs]
        lonely += [f"{name}: only in B" for name in theirs if name not in ours]
    texts, verdicts = [f"A: {a}\nB: {b}"], []
    for name in names:
        mine, its = ours[name].scores, theirs[name].scores
        table = compare_scores(_of_kept(mine, its) if to_reference else mine, its, tolerance, to_reference)
        if not brief:
            texts.append(_described(name, ours[name], theirs[name], table, tolerance, every_cell))
        if to_reference or brief:
            texts.append(f"{name}: {_reproduced(table.verdict, theirs[name])}")
        verdicts += list(table.verdict)
    same = set(verdicts) <= ({*SAME, "only in B"} if to_reference else set(SAME))
    if brief:
        return "\n".join([*texts[1:], *lonely]), same and (to_reference or not lonely)
    ends = [] if to_reference else [_conclusion(verdicts, lonely)]
    return "\n\n".join([*texts, *lonely, *ends]), same and (to_reference or not lonely)


def _of_kept(scores: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """The scores by the libraries that reference results keep: the first of each metric."""
    columns = ["dataset", "metric", "library"]
    return scores.merge(kept[columns].drop_duplicates(), on=columns)


def _reproduced(verdicts: pd.Series, theirs: Reproduction) -> str:
    """How many cells came out as before, in a line."""
    counts = {
        "equal": int(verdicts.isin(["identical", "within tolerance"]).sum()),
        "the same within noise": int((verdicts == UNDISTINGUISHED).sum()),
        "different": int((verdicts == "different").sum()),
    }
    others = verdicts[~verdicts.isin([*SAME, "different", "only in B"])].value_counts()
    made = int((verdicts != "only in B").sum())
    equal, *rest = counts
    parts = [f"{counts[equal]} of {made} cells {equal}", *(f"{counts[name]} {name}" for name in rest)]
    parts += [f"{count} {verdict}" for verdict, count in others.items()]
    parts += [f"{len(verdicts) - made} not made"] if made < len(verdicts) else []
    commit = theirs.origin.get("commit", "unknown")
    return f"reproduced: {', '.join(parts)} (commit {commit}, {theirs.folder})"


def _conclusion(verdicts: list[str], lonely: list[str]) -> str:
    others = [verdict for verdict in verdicts if verdict not in SAME]
    if others or lonely:
        return (
            f"A and B differ: {len(others)} of {len(verdicts)} cells are not the same."
            if others
            else "A and B differ: an experiment is in one of them only."
        )
    if UNDISTINGUISHED in verdicts:
        # With few seeds a test misses large differences, so this is not called the same.
        count = f"{verdicts.count(UNDISTINGUISHED)} of {len(verdicts)}"
        return (
            f"No difference between A and B was found, but {count} cells are not the same seed by seed. "
            "Their intervals show how large a difference could be."
        )
    return "A and B are the same."


def _described(
    name: str, a: Reproduction, b: Reproduction, table: pd.DataFrame, tolerance: float, every_cell: bool
) -> str:
    counts = table.verdict.value_counts()
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    lines = [f"{name}: {len(table)} cells: {said}"]
    for key in _ORIGIN.values():
        mine, its = (side.origin.get(key, "unknown") for side in (a, b))
        lines.append(f"{key}: {mine}" if mine == its else f"{key}: A {mine}, B {its}")
    lines.append(
        f"Largest relative difference of a seed's scores: {table.largest.max():.1e} (tolerance {tolerance:g})."
    )
    shown = table if every_cell else table[~table.verdict.isin(["identical", "within tolerance"])]
    return "\n".join(lines) + (f"\n\n{_readable(shown)}" if len(shown) else "")


def _readable(table: pd.DataFrame) -> str:
    columns = {
        **place_columns(table),
        "A": [_mean(value) for value in table.a],
        "B": [_mean(value) for value in table.b],
        "B − A [95 %]": [
            "—" if pd.isna(row[0]) else interval(*row)
            for row in zip(table.difference, table.difference_low, table.difference_high, strict=True)
        ],
        "largest": ["—" if pd.isna(value) else f"{value:.1e}" for value in table.largest],
        "n": table.n,
        "p, corrected": table.p_corrected.map(probability),
        "verdict": table.verdict,
    }
    text: str = pd.DataFrame(columns).to_markdown(index=False, disable_numparse=True)
    return text


def _mean(value: float) -> Cell:
    return NOTHING if pd.isna(value) else number(value, 4)
