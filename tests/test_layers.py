"""The order of imports: a folder of the package imports folders below it alone, and no module imports itself."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

ORDER = (
    "cli",
    "workflow",
    "reporting",
    "evaluation",
    "sampling",
    "training",
    "records",
    "experiment",
    "data",
    "diffusion",
    "networks",
    "runtime",
)
"""From the top down, as docs/architecture.md lists them."""
BELOW_ALL = ("errors", "seeds", "settings", "validation")
ENTRANCES = ("__init__", "__main__", "plugins")
"""What a user imports or starts: they may import anything, and nothing but they themselves imports them."""


def package() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = sorted((ROOT / "tdbench").rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(module: str, path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a module imports, at its top, in a function, or for its types alone."""
    found: set[str] = set()
    for name in _names(module, path):
        # `from tdbench.data import archive` names a module, `from tdbench.data.archive import ImageSet` a thing in one.
        parts = name.split(".")
        while parts and ".".join(parts) not in known:
            parts.pop()
        found.add(".".join(parts))
    return {name for name in found if name.partition(".")[0] == "tdbench"}


def _names(module: str, path: Path) -> Iterator[str]:
    parents = module.split(".") + (["__init__"] if path.stem == "__init__" else [])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level] if node.level else []
            where = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{where}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def folder(module: str) -> str:
    """``data`` of ``tdbench.data.archive``."""
    return module.split(".")[1] if "." in module else "__init__"


def graph() -> dict[str, set[str]]:
    modules = package()
    return {module: imported(module, path, set(modules)) - {module} for module, path in modules.items()}


def test_the_folders_are_those_of_the_architecture() -> None:
    entries = [path for path in (ROOT / "tdbench").iterdir() if path.name != "__pycache__"]
    assert {path.name for path in entries if path.is_dir()} == set(ORDER)
    assert {path.stem for path in entries if path.is_file()} == {*BELOW_ALL, *ENTRANCES}
    listed = (ROOT / "docs" / "architecture.md").read_text()
    places = [listed.index(f"\n  {name}/") for name in ORDER]
    assert places == sorted(places), "docs/architecture.md lists the folders in another order"


@pytest.mark.parametrize("name", [*ORDER, *BELOW_ALL])
def test_a_folder_imports_folders_below_it_alone(name: str) -> None:
    allowed = {name, *BELOW_ALL} | (set(ORDER[ORDER.index(name) + 1 :]) if name in ORDER else set())
    modules = graph()
    wrong = [
        f"{module} imports {other}"
        for module, others in modules.items()
        for other in others
        # The package itself holds its version alone.
        if folder(module) == name and folder(other) not in allowed | {"__init__"}
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter(graph()).prepare()


@pytest.mark.parametrize(
    "line",
    [
        "import tdbench.cli.main",
        "from tdbench.cli import main",
        "from tdbench.cli.main import app",
        "from ..cli import main",
        "from ..cli.main import app",
        "from .. import cli",
        "def late():\n    from tdbench.cli.main import app",
        "importlib.import_module('tdbench.cli.main')",
        "if TYPE_CHECKING:\n    from tdbench.cli.main import app",
    ],
)
def test_every_form_of_an_import_is_seen(line: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.py"
    path.write_text(line)
    assert {folder(name) for name in imported("tdbench.data.archive", path, set(package()))} == {"cli"}
