"""A part of an experiment, such as one machine's share of it: some of its seeds."""

from pathlib import Path

from tdbench.errors import TdbenchError
from tdbench.experiment.schema import Experiment

OPTION = "--only"
_EXPECTED = "expected seed=K, or seed=K,L for several"


def narrowed(experiment: Experiment, only: str | None, path: Path) -> Experiment:
    """Return the experiment with the seeds that ``only`` names, in the order of the file.

    Parameters
    ----------
    only : str or None
        ``seed=K`` or ``seed=K,L``; None for all.

    Raises
    ------
    TdbenchError
        If it is not of that form, or the experiment does not have such a seed.
    """
    if only is None:
        return experiment
    key, _, values = only.partition("=")
    if key.strip() != "seed" or not values.strip():
        raise TdbenchError(f"{OPTION} {only}: {_EXPECTED}")
    try:
        wanted = [int(value) for value in values.split(",")]
    except ValueError as error:
        raise TdbenchError(f"{OPTION} {only}: {_EXPECTED}") from error
    known = ", ".join(map(str, experiment.seeds))
    for seed in wanted:
        if seed not in experiment.seeds:
            raise TdbenchError(f"{OPTION} {only}: {path} has no seed {seed}; it has {known}")
    return experiment.model_copy(update={"seeds": tuple(seed for seed in experiment.seeds if seed in wanted)})
