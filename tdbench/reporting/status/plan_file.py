"""plan.json: the runs and data sets of an experiment, so that `tdbench status` needs no slow imports."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdbench.records.layout import ReportLayout
from tdbench.reporting.status.expected import Expected
from tdbench.runtime.files import write_text

if TYPE_CHECKING:
    from tdbench.experiment.plan import Plan
    from tdbench.experiment.run import Run


def write_plan_file(plan: "Plan", results: Path) -> None:
    """Write plan.json, unless its content is the same already.

    Raises
    ------
    TdbenchError
        If it cannot be written.
    """
    path = ReportLayout(results, plan.experiment.name).plan
    runs = [asdict(_expected(run, plan.runs[run.weights_name])) for run in plan.runs.values()]
    for entry in runs:
        del entry["experiment"]
    content = {"experiment": plan.experiment.name, "path": str(plan.path), "datasets": _datasets(plan), "runs": runs}
    content |= {} if plan.only is None else {"only": plan.only}
    text = json.dumps(content, indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_text(path, text)


def _datasets(plan: "Plan") -> dict[str, Any]:
    """Data set -> its features, libraries and publishers of weights."""
    settings = plan.experiment.evaluation
    facts = {"features": settings.features, "publishers": settings.publishers}
    return {name: facts | {"libraries": plan.libraries(name)} for name in plan.experiment.datasets}


def _expected(run: "Run", trainer: "Run") -> Expected:
    """The work of a run; ``trainer`` is the run that trains its weights."""
    sampling, sets = run.sampling, len(run.scored_snapshots()) * len(run.sampling.steps)
    curve = len(run.curve_snapshots) * len(run.curve_steps)
    return Expected(
        experiment=run.experiment,
        name=run.name,
        weights_name=run.weights_name,
        network=run.network.kind,
        sampler=sampling.sampler.kind,
        training_images=trainer.trained_images,
        sample_sets=sets + curve,
        set_images=sampling.images,
        steps=sampling.steps,
        score_sets=sets * len(run.evaluation.libraries) + curve,
        curve_sets=curve,
        curve_images=run.curve_images if curve else 0,
        curve_steps=run.curve_steps if curve else (),
    )
