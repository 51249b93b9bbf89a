"""The output of `tdbench diagnose`: the mechanism of the temporal difference with the weights of one run."""

from pathlib import Path

import pandas as pd

from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import MechanismSettings
from tdbench.experiment.mechanism import mechanism_td_of
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.stored import Records
from tdbench.reporting.collect import MECHANISM_COLUMNS, mechanism_rows
from tdbench.reporting.mechanism import late, readable_mechanism, sentence, summarised
from tdbench.reporting.tables import markdown_table
from tdbench.runtime import advice
from tdbench.sampling.mechanism import mechanism_of


def diagnosis(plan: Plan, name: str, results: Path, settings: MechanismSettings, noise_levels: list[float]) -> str:
    """The table by noise level and the sentence, as text.

    Raises
    ------
    TdbenchError
        If there is no such run, it is not trained, or its formulation has no Markov pairs.
    """
    run = plan.run(name)
    objective = mechanism_td_of(run, plan.comparison)
    if objective is None:
        raise TdbenchError(
            f"{run.name}: the mechanism needs pairs of coupling markov, which the objective {run.objective_name} of "
            f"formulation {run.formulation_name} does not have; `{advice.command('plan', plan.path)}` lists the runs"
        )
    layout, files = RunLayout(results, run), DatasetLayout(results, run.dataset_name)
    Records(results).of(run).check_trained()
    if not files.archive.is_file():
        command = advice.snakemake(run.file, results, files.archive)
        raise TdbenchError(f"{files.archive}: no such archive; `{command}` makes it")
    found = mechanism_of(run, objective, layout, files, settings, {}, noise_levels)
    table = summarised(pd.DataFrame(mechanism_rows(run, found), columns=MECHANISM_COLUMNS))
    td, target = late(run, objective)
    shown = readable_mechanism(table).drop(columns=["data", "formulation", "weights of", "n"])
    kimg = run.training.duration_kimg
    title = f"{run.name}: {kimg:g} kimg ({run.training.steps:,} steps), {found.images} images"
    return f"{title}\n\n{markdown_table(shown)}\n\n{sentence(table, td, target)}"
