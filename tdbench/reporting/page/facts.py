"""Tables of the page about data sets and runs."""

from pkgutil import resolve_name

import pandas as pd

from tdbench.data.summary import DataSummary
from tdbench.experiment.extractors import EXTRACTORS
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout
from tdbench.reporting.cells import NOTHING, Cell
from tdbench.reporting.findings import Findings
from tdbench.runtime import advice

MOST_CLASSES_NAMED = 20
"""For a data set with more classes, the page shows only the smallest and largest number of images per class."""


def data(found: Findings) -> pd.DataFrame:
    """One row per data set."""
    rows, plan = [], found.plan
    for name, dataset in plan.experiment.datasets.items():
        files = DatasetLayout(found.results, name)
        command = advice.snakemake(plan.path, found.results, files.summary)
        facts = found.records.read(files.summary, command, DataSummary)
        extractor = plan.experiment.evaluation.features
        features = resolve_name(EXTRACTORS[extractor].describe)(files, plan.libraries(name), extractor)
        rows.append(
            {
                "data": name,
                "source": dataset.source,
                "images": facts.images,
                "resolution": facts.resolution,
                "channels": facts.channels,
                "classes": facts.classes,
                "images per class": _images_a_class(facts),
                "classes of samples": _classes_of_samples(plan, name) if facts.classes else NOTHING,
                "features": features,
                "sha256": facts.sha256,
            }
        )
    return pd.DataFrame(rows)


def _images_a_class(facts: DataSummary) -> Cell | str:
    """Images of each class by name; the smallest and largest number if classes are unnamed or many."""
    counts, names = facts.class_counts, facts.class_names
    if not counts:
        return NOTHING
    if names is None or len(names) > MOST_CLASSES_NAMED:
        return Cell(f"{min(counts)} to {max(counts)}", min(counts))
    return ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))


def _classes_of_samples(plan: Plan, dataset: str) -> str:
    """How the classes of a data set's samples were drawn."""
    names = {"data": "in the proportions of the data", "even": "evenly"}
    drawn: dict[str, list[str]] = {}
    for run in plan.runs.values():
        if run.dataset_name == dataset:
            drawn.setdefault(names[run.sampling.classes], []).append(run.formulation_name)
    if len(drawn) == 1:
        return next(iter(drawn))
    return "; ".join(f"{how} ({', '.join(dict.fromkeys(which))})" for how, which in drawn.items())


def runs(found: Findings) -> pd.DataFrame:
    """One row per run."""
    facts = found.runs("all")
    shown = facts.assign(
        training_seconds=facts.training_seconds.round(1),
        memory_mb=facts.memory_mb.round(),
        loss=facts.loss.round(4),
        valid_share=facts.valid_share.round(3),
        git_commit=facts.git_commit.str.slice(0, 12),
        data=facts.data.str.slice(0, 12),
    )
    return shown.drop(columns=["dataset", "formulation", "objective"])
