"""Checks of a Snakemake call: its config, its cores and GPUs, and the paths in its experiments."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.reporting.tracking.uri import tracking_uri
from tdbench.runtime.gpus import visible_gpus

KNOWN_CONFIG = {"experiment": "digits", "results": "results", "only": ""}
_NO_PATH = re.compile("[{}]|<.+>")


class Chosen(NamedTuple):
    """The experiment and the results folder of a Snakemake call."""

    experiment: str
    results: Path
    only: str | None
    """The part of the experiment that is wanted; None for all of it."""


def read_config(config: dict[str, Any]) -> Chosen:
    """Read Snakemake's config.

    Raises
    ------
    TdbenchError
        If it has an unknown key, or if Snakemake changed a value that the user typed.
    """
    unknown = sorted(set(config) - set(KNOWN_CONFIG))
    if unknown:
        raise TdbenchError(f"--config {unknown[0]}={config[unknown[0]]}: unknown key; known: {', '.join(KNOWN_CONFIG)}")
    given = {key: default for key, default in KNOWN_CONFIG.items() if default} | config
    texts = {key: config_text(key, value) for key, value in given.items()}
    return Chosen(texts["experiment"], Path(texts["results"]), texts.get("only"))


def config_text(key: str, value: Any) -> str:
    """Return a value of Snakemake's config, if it is still what the user typed.

    Snakemake strips quotes and parses the rest as a number, a boolean or YAML: it reads 2026_11_25 as 20261125.
    """
    if value is None or value == "":
        example, default = ("seed=0", "all of it") if key == "only" else ("NAME", f"the default {KNOWN_CONFIG[key]!r}")
        raise TdbenchError(f"--config {key}=: is empty; give {key}={example}, or omit it for {default}")
    words = [word.partition("=")[2].strip("'\"") for word in sys.argv if word.startswith(f"{key}=")]
    typed = words[-1] if words else str(value)
    if isinstance(value, str) and value == typed:
        return value
    if key == "only":
        raise TdbenchError(f"--config only={typed}: expected seed=K, or seed=K,L for several")
    path = f"./{typed}" if key == "results" else f"workflow/experiments/{typed}.yaml"
    named = re.fullmatch(r"[\w.+-]+", typed)
    hint = f"give its path: --config {shlex.quote(f'{key}={path}')}" if named else "choose another name"
    raise TdbenchError(f"--config {key}={typed}: Snakemake reads that as {value!r}; {hint}")


def need_cores(workflow: Any) -> None:
    """End the call if Snakemake has zero cores: it would plan jobs that ask for zero cores.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        The object that a Snakefile sees as ``workflow``.
    """
    if workflow.resource_settings.cores == 0:
        with exit_on_error():
            raise TdbenchError("--cores 0: no job can run; give at least 1, or all")


def limit_gpus(workflow: Any) -> None:
    """Limit the GPUs that concurrent jobs get to the GPUs of this machine, if Snakemake runs the jobs here.

    ``--resources gpu=N`` takes precedence. Without GPUs there is no limit: ``gpu`` then only counts processes.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        The object that a Snakefile sees as ``workflow``.
    """
    # Snakemake knows a number of nodes only if jobs go to a cluster.
    if "gpu" in workflow.global_resources or workflow.resource_settings.nodes is not None:
        return
    with exit_on_error():
        gpus = visible_gpus()
    if gpus:
        workflow.register_resource("gpu", len(gpus))


def check_paths(plans: list[Plan], results: Path) -> None:
    """Reject paths that Snakemake would interpret as patterns."""
    if _NO_PATH.search(str(results)):
        raise TdbenchError(f"results {str(results)!r}: Snakemake reads braces as wildcards; choose another folder")
    # Raises now what would otherwise fail in the last step of the workflow.
    tracking_uri(results)
    for plan in plans:
        sets, weights = plan.experiment.datasets, plan.experiment.evaluation.weights
        given = {f"datasets.{name}.path": dataset.path for name, dataset in sets.items() if dataset.path is not None}
        given |= {f"evaluation.weights.{name}": path for name, path in weights.items()}
        if (distance := plan.experiment.training.distance_weights) is not None:
            given["training.distance_weights"] = distance
        for key, path in given.items():
            if _NO_PATH.search(str(path)):
                raise TdbenchError(
                    f"{plan.path}: {key}: {str(path)!r}: Snakemake reads {{...}} and <...> as wildcards; rename it"
                )


@contextmanager
def exit_on_error() -> Iterator[None]:
    try:
        yield
    except TdbenchError as error:
        print(f"tdbench: error: {error}", file=sys.stderr, flush=True)
        # Snakemake would print an exception with a traceback.
        sys.stdout.flush()
        os._exit(2)
