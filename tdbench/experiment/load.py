"""Reads and expands an experiment or a collection of experiments, given by name or by path."""

from pathlib import Path

from pydantic import ValidationError

from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import FOLDER
from tdbench.experiment.expand import expand
from tdbench.experiment.only import narrowed
from tdbench.experiment.plan import Plan
from tdbench.experiment.plugins import load_plugins
from tdbench.experiment.schema import Collection, Dataset, Experiment
from tdbench.experiment.yaml import Content, read_yaml
from tdbench.validation import did_you_mean, explain, same_but_for_case


def find_experiment(name: str) -> Path:
    """Return the file of an experiment given by name or by path."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    folders = [Path("workflow/experiments"), Path(__file__).parents[2] / "workflow" / "experiments"]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    raise TdbenchError(
        f"experiment {name!r}: no such experiment{did_you_mean(name, known)}; known: {', '.join(known)}, "
        "or give a path to a YAML file"
    )


def load_plan(name: str, only: str | None = None) -> Plan:
    """Read, check and expand an experiment given by name or by path.

    Parameters
    ----------
    only : str or None
        The part of it that is wanted, such as ``seed=0`` (`only.narrowed`); None for all of it.

    Raises
    ------
    TdbenchError
        With one line per mistake: file, key, value and what is allowed.
    """
    path = find_experiment(name)
    content = read_yaml(path)
    if "includes" in content:
        raise TdbenchError(f"{path}: is a collection of experiments; name one of them: {_listed(content['includes'])}")
    return _plan(path, content, only)


def _plan(path: Path, content: Content, only: str | None) -> Plan:
    """Validate and expand the experiment in a file, or a part of it."""
    load_plugins(content.get("plugins", []), path)
    try:
        experiment = Experiment.model_validate(content, context={FOLDER: path.parent})
    except ValidationError as error:
        raise TdbenchError(*explain(path, content, error)) from error
    plan = expand(narrowed(experiment, only, path), path)
    if only is None:
        return plan
    return plan.model_copy(update={"only": only, "all_seeds": experiment.seeds})


def load_plans(name: str, only: str | None = None) -> list[Plan]:
    """Like `load_plan`, for one experiment or for all experiments of a collection.

    Raises
    ------
    TdbenchError
        As `load_plan` does, and if two experiments of a collection cannot share a results folder.
    """
    path = find_experiment(name)
    content = read_yaml(path)
    if "includes" not in content:
        return [_plan(path, content, only)]
    try:
        included = Collection.model_validate(content).includes
    except ValidationError as error:
        raise TdbenchError(*explain(path, content, error)) from error
    plans = [_plan(*_included(one, path), only) for one in included]
    _check_together(path, plans)
    return plans


def _included(name: str, collection: Path) -> tuple[Path, Content]:
    """Return the file and the content of an experiment in a collection; a path is relative to the collection."""
    is_file = name.endswith((".yaml", ".yml"))
    try:
        path = find_experiment(str(collection.parent / name) if is_file else name)
        content = read_yaml(path)
    except TdbenchError as error:
        raise TdbenchError(f"{collection}: includes: {error}") from error
    if "includes" in content:
        raise TdbenchError(
            f"{collection}: includes: {name!r}: is itself a collection; "
            f"name its experiments: {_listed(content['includes'])}"
        )
    return path, content


def _check_together(path: Path, plans: list[Plan]) -> None:
    """Reject experiments that would write different content to the same files."""
    if (same := same_but_for_case(plan.experiment.name for plan in plans)) is not None:
        raise TdbenchError(
            f"{path}: includes: two experiments are called {same[1]!r} and would share a folder of results; rename one"
        )
    sources: dict[str, tuple[Plan, Dataset]] = {}
    for plan in plans:
        for name, dataset in plan.experiment.datasets.items():
            other, meant = sources.setdefault(name, (plan, dataset))
            if meant != dataset:
                raise TdbenchError(
                    f"{path}: includes: data set {name!r} has different settings in {plan.path} and {other.path}; "
                    "rename one"
                )
            # All experiments share one file of features per data set.
            mine, its = plan.experiment.evaluation, other.experiment.evaluation
            if mine.features == its.features and mine.weights != its.weights:
                raise TdbenchError(
                    f"{path}: includes: evaluation.weights: {plan.path} and {other.path} name different files for "
                    f"data set {name!r}; name the same file, or rename the data set in one of them"
                )


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names)
