"""Plug-ins: a user's Python file or package that adds kinds. Only an experiment file can name it.

A plug-in is Python code that registers classes or functions when it is imported:

    from tdbench.plugins import register

    @register("sampler")
    class Mine(Sampler): ...

A plug-in runs with the rights of the user. It is therefore loaded only if an experiment lists it under ``plugins``,
either as a file (``mine.py``, relative to the experiment file) or as an entry point of an installed package in the
group ``tdbench.plugins``.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tdbench.data.sources import SOURCES, Source
from tdbench.diffusion.formulations import FORMULATIONS
from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.objectives import OBJECTIVES
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.samplers import SAMPLERS, Sampler
from tdbench.errors import TdbenchError
from tdbench.experiment.extractors import EXTRACTORS, PUBLISHERS, Extractor
from tdbench.experiment.metrics import METRICS, Metric
from tdbench.runtime.provenance import trace_code
from tdbench.settings import Parameters

GROUP = "tdbench.plugins"
_CLASSES: dict[str, tuple[Any, type[Parameters]]] = {
    "formulation": (FORMULATIONS, Formulation),
    "objective": (OBJECTIVES, Objective),
    "sampler": (SAMPLERS, Sampler),
}
_ROWS: dict[str, tuple[Any, type[Any]]] = {
    "source": (SOURCES, Source),
    "metric": (METRICS, Metric),
    "extractor": (EXTRACTORS, Extractor),
}
_BUILT_IN = {id(value) for registry, _ in (*_CLASSES.values(), *_ROWS.values()) for value in registry.values()}
_ROW_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_loading: list[tuple[str, str]] = []
"""The plug-ins that are being imported: the name in the experiment, and the value for `--plugin`."""


def register(what: str, name: str | None = None) -> Callable[[Any], Any]:
    """Register a class (``formulation``, ``objective``, ``sampler``) or a row (``source``, ``metric``, ``extractor``).

    The name of a class is the default of its field ``kind``; a row (`Source`, `Metric`, `Extractor`) needs ``name``.

    Raises
    ------
    TypeError
        If the object has the wrong type, or the name is that of a built-in kind.
    ValueError
        If a metric or an extractor has a value that cannot work.
    """

    def add(thing: Any) -> Any:
        if what in _ROWS:
            registry, row = _ROWS[what]
            if not isinstance(thing, row) or not name:
                article, wanted = "an" if what[0] in "aeiou" else "a", f"{row.__module__}.{row.__name__}"
                raise TypeError(f"{article} {what} is a {wanted} with a name: register({what!r}, 'mine')(...)")
            _check_row(what, name, thing)
            key, added = name, _with_origin(thing)
        elif what in _CLASSES:
            registry, base = _CLASSES[what]
            added = thing
            if not (isinstance(thing, type) and issubclass(thing, base)):
                raise TypeError(f"a {what} is a subclass of {base.__module__}.{base.__name__}, not {thing!r:.60}")
            key = thing.model_fields["kind"].default
            if not isinstance(key, str):
                raise TypeError(f'{thing.__name__}: needs a kind of its own: kind: Literal["mine"] = "mine"')
        else:
            raise TypeError(f"{what!r}: cannot be registered; known: {', '.join((*_ROWS, *_CLASSES))}")
        if id(registry.get(key)) in _BUILT_IN:
            raise TypeError(f"{what} {key!r}: is a built-in name; choose another")
        registry[key] = added
        return thing

    return add


def _check_row(what: str, name: str, row: Any) -> None:
    """Reject a metric or extractor that would fail later in a job. `read_source` checks what sources return."""
    if isinstance(row, Source):
        return
    where, libraries = f"{what} {name!r}", set(PUBLISHERS.values())
    if not _ROW_NAME.fullmatch(name):
        raise ValueError(f"{where}: a name has lower-case letters, digits and hyphens, such as 'mean-distance'")
    if isinstance(row, Metric):
        if row.better not in ("lower", "higher"):
            raise ValueError(f"{where}: better is {row.better!r}; expected 'lower' or 'higher'")
        if isinstance(row.libraries, str) or not row.libraries or not set(row.libraries) <= libraries:
            known = ", ".join(sorted(libraries))
            raise ValueError(f"{where}: libraries are {row.libraries!r}; expected a tuple of some of: {known}")
    elif row.own_of_library or row.trained_on_data:
        raise ValueError(f"{where}: a plug-in cannot set own_of_library or trained_on_data")
    elif row.dimensions < 2:
        raise ValueError(f"{where}: dimensions is {row.dimensions!r}; a covariance needs at least 2")
    functions = (row.function, row.spread) if isinstance(row, Metric) else (row.loader, row.describe)
    for function in filter(None, functions):
        if not callable(resolve_name(function)):
            raise ValueError(f"{where}: {function!r} is not a function")


def _with_origin(row: Any) -> Any:
    """Return the row with the plug-in that registered it, if its class has a field for that."""
    named, typed = _loading[-1] if _loading else ("a plug-in", "")
    if isinstance(row, Source):
        return row._replace(origin=named)
    return row._replace(plugin=typed) if isinstance(row, Extractor) else row


def plugin_argument(experiment: Path, name: str) -> str:
    """Return the value for `--plugin`: the file relative to the working folder, not to the experiment file."""
    return str(experiment.parent / name) if name.endswith(".py") else name


def load_plugins(names: Any, experiment: Path) -> None:
    """Import the plug-ins of an experiment.

    Raises
    ------
    TdbenchError
        If a plug-in cannot be found or fails when it is imported.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TdbenchError(f"{experiment}: plugins: {names!r:.60}: expected a list of Python files and entry points")
    for name in names:
        _loading.append((name, plugin_argument(experiment, name)))
        try:
            _load(name, experiment)
        except TdbenchError:
            raise
        except Exception as error:  # user code may raise anything
            raise TdbenchError(f"{experiment}: plugins: {name!r}: {type(error).__name__}: {error}") from error
        finally:
            _loading.pop()


def _load(name: str, experiment: Path) -> None:
    if not name.endswith(".py"):
        found = [entry for entry in metadata.entry_points(group=GROUP) if entry.name == name]
        if not found:
            known = sorted({entry.name for entry in metadata.entry_points(group=GROUP)})
            raise TdbenchError(
                f"{experiment}: plugins: {name!r}: no such entry point in the group {GROUP} "
                f"(known: {', '.join(known) or 'none'}), and no Python file, which ends in .py"
            )
        found[0].load()
        trace_code(name, found[0].dist.version if found[0].dist else "")
        return
    path = (experiment.parent / name).resolve()
    if not path.is_file():
        raise TdbenchError(f"{experiment}: plugins: {name!r}: no such file: {path}")
    # One module per path and content, so that reading an experiment twice registers it once.
    content = path.read_bytes()
    module_name = f"tdbench_plugin_{hashlib.sha256(str(path).encode() + content).hexdigest()[:16]}"
    # Use the name in the experiment, so that results stay valid when the folder is moved.
    trace_code(name, hashlib.sha256(content).hexdigest())
    if module_name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise TdbenchError(f"{experiment}: plugins: {name!r}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
