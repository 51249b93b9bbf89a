"""Reference results: the tables of a finished experiment, kept in results/reference/NAME to compare others with.

They are small enough for a repository: the score of every run, and the tables of the report as CSV.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pandas as pd

from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.records import report
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.reference_results import RECORD, REFERENCES, SCORES, ReferenceResults, StageCost
from tdbench.records.schema import read_record
from tdbench.records.stages import STAGES
from tdbench.reporting.findings import Findings
from tdbench.reporting.score_files import checked_scores
from tdbench.runtime import advice
from tdbench.runtime.files import atomic_path, make_folder, read_json, sha256, write_json
from tdbench.runtime.provenance import provenance

TABLES = (
    "comparison",
    "comparison-equal-passes",
    "overall",
    "levels",
    "learning",
    "floor",
    "curves",
    "cost",
    "consistency",
    "mechanism",
    "ablation",
)
"""Rows of `records.report.TABLES` that are kept."""
_DIGITS = "%.7g"
_SCORE_COLUMNS = ["dataset", "formulation", "objective", "seed", "metric", "library", "features", "steps", "nfe"]


def keep(plan: Plan, results: Path, folder: Path = REFERENCES) -> Path:
    """Write the reference results of an experiment that has been run, or of a part of it; returns their folder.

    Raises
    ------
    TdbenchError
        If a result is missing, or was made by code that is in no commit.
    """
    found, target = Findings(plan, results), folder / plan.experiment.name
    record = _record(found)
    tables = dict(_tables(found))
    scores = _first_library(plan, found.per_run("all"))
    if target.exists() and not (target / RECORD).is_file():
        raise TdbenchError(f"{target}: is no folder of reference results; remove it, or choose another --output")
    shutil.rmtree(target, ignore_errors=True)
    make_folder(target / "tables")
    # Every digit, so that equal scores compare as equal.
    _write(target / SCORES, scores[[*_SCORE_COLUMNS, "snapshots", "value"]], None)
    for name, table in tables.items():
        _write(target / "tables" / f"{name}.csv", table, _DIGITS)
    paths = [target / SCORES, *sorted((target / "tables").iterdir())]
    files = {path.relative_to(target).as_posix(): sha256(path) for path in paths}
    write_json(target / RECORD, record.model_copy(update={"files": files}))
    return target


def _write(path: Path, table: pd.DataFrame, digits: str | None) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format=digits, lineterminator="\n")


def _tables(found: Findings) -> Iterator[tuple[str, pd.DataFrame]]:
    for row in report.TABLES:
        if row.name in TABLES:
            for one in row.of(found.plan):
                yield one.name, _first_library(found.plan, found.table(one.name).numbers)


def _first_library(plan: Plan, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first library that has the metric, and those of none: on the same features the others agree."""
    if not {"dataset", "metric", "library"} <= set(table):
        return table
    place = {name: i for name in plan.experiment.datasets for i, name in enumerate(plan.libraries(name))}
    order = table.library.map(place)
    first = order.groupby([table.dataset, table.metric], sort=False).transform("min")
    return table[order.isna() | (order == first)]


def _record(found: Findings) -> ReferenceResults:
    plan = found.plan
    runs = [found.records.of(run) for run in plan.runs.values()]
    own = [one for one in runs if one.run.trained_as is None]
    origins = [part.provenance for one in own for part in one.trained.stretches]
    origins += [one.scored.provenance for one in runs]
    commits = list(dict.fromkeys(origin.git_commit for origin in origins))
    if dirty := next((commit for commit in commits if commit.endswith("-dirty")), None):
        raise TdbenchError(
            f"{found.layout.folder}: was made by commit {dirty[:12]} with changes that are in no commit; reference "
            "results need one, so that others can repeat them: commit the changes and run the experiment again"
        )
    summaries = {}
    for name in plan.experiment.datasets:
        files = DatasetLayout(found.results, name)
        command = advice.snakemake(plan.path, found.results, files.summary)
        summary = found.records.read(files.summary, command, DataSummary)
        # The state of a folder on one machine says nothing to others.
        summaries[name] = summary.model_copy(update={"source_state": None})
    return ReferenceResults(
        experiment=plan.experiment.name,
        only=plan.only,
        commits=commits,
        code_sha256=list(dict.fromkeys(origin.code_sha256 for origin in origins if origin.code_sha256)),
        versions=origins[0].versions,
        hardware=list({repr(p.hardware): p.hardware for one in own for p in one.trained.stretches}.values()),
        data=summaries,
        seeds=list(plan.experiment.seeds),
        trainings=len(own),
        stages={name: StageCost(seconds=_seconds(plan, found.results, name)) for name in STAGES},
        settings=_portable(plan),
        files={},
        provenance=provenance(),
    )


def _portable(plan: Plan) -> dict[str, Any]:
    """The experiment without the folders of one machine."""
    content = plan.experiment.model_dump(mode="json", by_alias=True)
    for dataset in content["datasets"].values():
        if dataset["path"] is not None:
            dataset["path"] = Path(dataset["path"]).name
    return content


def _seconds(plan: Plan, results: Path, stage: str) -> float:
    row = STAGES[stage]
    runs = [run for run in plan.runs.values() if run.trained_as is None or not row.shared]
    seconds = resolve_name(row.seconds)
    return float(sum(seconds(read_json(RunLayout(results, run).made_by(stage), "")) or 0 for run in runs))


def reference_folder(word: Path) -> Path:
    """The folder that an argument of `tdbench compare` names: ``reference`` are the project's reference results."""
    if str(word) != "reference" or word.exists():
        return word
    for folder in (REFERENCES, Path(__file__).parents[2] / REFERENCES):
        if folder.is_dir():
            return folder
    raise TdbenchError(
        f"{word}: no reference results in {REFERENCES}; `{advice.command('keep', '--help')}` says how to write some"
    )


def read_reference(folder: Path) -> tuple[ReferenceResults, pd.DataFrame]:
    """The record and the scores of a folder that `keep` wrote, in the columns of scores.parquet.

    Raises
    ------
    TdbenchError
        If a file is missing, damaged or changed.
    """
    command = advice.command("keep", folder.resolve().name)
    record = read_record(folder / RECORD, command, ReferenceResults)
    for name, checksum in record.files.items():
        path = folder / name
        if not path.is_file() or sha256(path) != checksum:
            raise TdbenchError(
                f"{path}: missing or changed since {RECORD} was written; `{command}` writes both anew, and git "
                "restores what was committed"
            )
    path = folder / SCORES

    def read() -> pd.DataFrame:
        scores = pd.read_csv(path)
        place = scores.dataset + "/" + scores.formulation + "-" + scores.objective
        data = scores.dataset.map({name: summary.sha256 for name, summary in record.data.items()})
        return scores.assign(run=place + "-seed" + scores.seed.astype(str), reference_data=data)

    return record, checked_scores(path, read, advice.again(command))
