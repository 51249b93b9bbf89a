"""What the project's own code never does, read from its syntax; every exception is named here with its reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted(path for part in ("tdbench", "benchmarks", "docs/examples") for path in (ROOT / part).rglob("*.py"))
MODULES = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib", "ftplib")
CALLS = (
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "os.execv",
    "os.spawnv",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "tempfile.mktemp",
    "pd.read_pickle",
    "torch.jit.load",
    "torch.hub.load",
    "shutil.unpack_archive",
)
METHODS = ("extractall", "to_pickle", "read_pickle")
# (file, what) -> why it is right there
EXCEPTIONS = {
    (
        "tdbench/data/cifar10.py",
        "imports pickle",
    ): "CIFAR-10 is published as pickles: an unpickler that knows arrays alone, behind the official checksum",
}


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in FILES:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute; "" of anything else."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def option(call: ast.Call, name: str) -> object:
    """The constant that a call gives for a keyword; None where it gives none."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def findings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What stands in a file that must not, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from ((f"imports {name}", node.lineno) for name in module if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Constant) and re.match(r"http://(?!127\.0\.0\.1|localhost)", str(node.value)):
            yield f"has the address {node.value}", node.lineno
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            last = name.rsplit(".", 1)[-1]
            if name in CALLS or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                yield f"calls {name or node.func.attr}", node.lineno
            if option(node, "shell") not in (None, False):
                yield "starts a shell", node.lineno
            if name == "torch.load" and option(node, "weights_only") is not True:
                yield "calls torch.load without weights_only=True", node.lineno
            if name in ("np.load", "numpy.load") and option(node, "allow_pickle") is not False:
                yield "calls np.load without allow_pickle=False", node.lineno
            if last in ("read_array", "load") and option(node, "allow_pickle") is True:
                yield "reads pickles of numpy", node.lineno
            if last == "YAML" and option(node, "typ") not in (None, "safe"):
                yield f"reads YAML of type {option(node, 'typ')}", node.lineno
            if name.startswith("yaml.") and last in ("load", "unsafe_load", "full_load"):
                yield f"calls {name}", node.lineno
            if option(node, "verify") is False:
                yield "verifies no certificate", node.lineno
            if last == "Environment" and option(node, "autoescape") is not True:
                yield "renders templates without escaping", node.lineno


def test_the_code_does_nothing_of_the_kind() -> None:
    assert len(FILES) > 100
    found = {(file, what): line for file, tree in trees() for what, line in findings(tree)}
    assert set(found) == set(EXCEPTIONS), {f"{file}:{line}: {what}" for (file, what), line in found.items()}


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle", "imports pickle"),
        ("from dill import loads", "imports dill"),
        ("eval('1')", "calls eval"),
        ("import os\nos.system('x')", "calls os.system"),
        ("subprocess.run('x', shell=True)", "starts a shell"),
        ("torch.load(path)", "calls torch.load without weights_only=True"),
        ("yaml.load(x)", "calls yaml.load"),
        ("np.load(path)", "calls np.load without allow_pickle=False"),
        ("archive.extractall('x')", "calls archive.extractall"),
        ("open().extractall('x')", "calls extractall"),
        ("url = 'http://example.org/x'", "has the address http://example.org/x"),
        ("YAML(typ='unsafe')", "reads YAML of type unsafe"),
        ("requests.get(u, verify=False)", "verifies no certificate"),
        ("Environment(loader=x)", "renders templates without escaping"),
        ("torch.load(path, weights_only=flag)", "calls torch.load without weights_only=True"),
    ],
)
def test_the_scan_finds_it(code: str, what: str) -> None:
    assert [found for found, _ in findings(ast.parse(code))] == [what]


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, weights_only=True)",
        "network.eval()",
        "re.compile('x')",
        "url = 'http://127.0.0.1:1'",
        "YAML(typ='safe')",
    ],
)
def test_the_scan_lets_pass_what_is_right(code: str) -> None:
    assert list(findings(ast.parse(code))) == []


QUOTED = {
    "params.only": "ExperimentFlow.only",
    "params.libraries": "WeightsPlan.arguments",
    "params.weights": "WeightsPlan.option",
    "params.plugin": "Workflow.extractor_plugin",
    "params.settings": "Workflow.source_arguments",
    "params.runs": "ExperimentFlow.runs_of_job",
}
"""What rules put into their lines as it is -> who quoted it with shlex.join."""
NUMBERS = re.compile(r"threads|resources\.\w+")


def shell_lines() -> Iterator[tuple[str, str]]:
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]:
        for block in re.findall(r"^ +shell:\n((?: +[rf]*\".*\"\n)+)", path.read_text(), re.M):
            yield path.name, block


def test_rules_quote_whatever_they_put_into_a_line_of_shell() -> None:
    lines = list(shell_lines())
    assert len(lines) >= 11
    for file, line in lines:
        assert not re.search(r"^ +\w*f\"", line, re.M), (
            f"{file}: an f-string, which is filled in without quotes: {line}"
        )
        for field in re.findall(r"\{([^}]*)\}", line):
            name, _, form = field.partition(":")
            assert form == "q" or name in QUOTED or NUMBERS.fullmatch(name), f"{file}: {{{field}}} is not quoted"


@pytest.mark.slow
def test_whoever_quotes_for_a_rule_does() -> None:
    for where in QUOTED.values():
        kind, method = where.split(".")
        tree = next(
            tree
            for _, tree in trees()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and node.name == kind
        )
        (body,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == method]
        returned = [node.value for node in ast.walk(body) if isinstance(node, ast.Return) and node.value is not None]
        for value in returned:
            ends = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            for end in ends:
                quoted = isinstance(end, ast.Call) and dotted(end.func) == "shlex.join"
                assert quoted or (isinstance(end, ast.Constant) and end.value == ""), where


def test_processes_are_started_from_lists() -> None:
    """Never from one text, which a shell or a splitting would take apart."""
    started = [
        (file, node)
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and dotted(node.func) in ("subprocess.run", "subprocess.Popen", "subprocess.check_output")
    ]
    assert started
    for file, node in started:
        assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp), f"{file}:{node.lineno}"


def test_workflow_files_hold_no_python_of_their_own_that_runs_programs() -> None:
    for path in [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]:
        text = Path(path).read_text()
        assert not re.search(r"^ +run:|\bos\.system|subprocess|\bshell\(|\beval\(|\bexec\(", text, re.M), path


def test_every_test_that_the_table_of_threats_names_is_there() -> None:
    file, named = "", 0
    text = (ROOT / "tests" / "robustness" / "README.md").read_text(encoding="utf-8")
    for reference in re.findall(r"`((?:[\w/]+\.py)?::\w+|[\w/]+\.py(?:::\w+)?)`", text):
        path, _, test = reference.partition("::")
        file = path or file
        source = ROOT / file if "/" in file else ROOT / "tests" / "robustness" / file
        assert source.is_file(), reference
        assert not test or f"def {test}(" in source.read_text(), reference
        named += 1
    assert named > 30
