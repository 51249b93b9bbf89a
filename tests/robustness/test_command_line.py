"""Arguments that nobody meant, through the real command line: a line on standard error, exit code 2, no traceback."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdbench.cli.main import main
from tdbench.errors import TdbenchError
from tests.conftest import ROOT, TINY
from tests.robustness.tally import inputs, judge

ODD = [
    "",
    " ",
    "-",
    "--",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9" * 30,
    "1e-400",
    "é",
    "\udcff",
    "\x1b[2J",
    "a\nb",
    "'",
    '"',
    "$(touch x)",
    "; touch x",
    "../..",
    "/",
    "/dev/null",
    "/proc/self/mem",
    "x" * 5_000,
    "--help",
    "-o",
    "tiny",
    "digits",
    str(TINY),
    str(ROOT / "README.md"),
    "edm-td-seed0",
    "*",
    "%s",
    "{}",
    "{0}",
]
OPTIONS = {
    "data": ["--output", "--path", "--resolution", "--plugin"],
    "classifier": ["--results", "--threads"],
    "weights": ["--library", "--results"],
    "reference": ["--features", "--library", "--weights", "--batch-size", "--threads"],
    "train": ["--results", "--marker", "--processes", "--keep-finished"],
    "sample": ["--results", "--marker", "--processes"],
    "evaluate": ["--results", "--marker", "--processes"],
    "report": ["--part", "--results"],
    "track": ["--results"],
    "validate": [],
    "plan": ["--tflops", "--threads"],
    "show": ["--paths", "--results"],
    "status": ["--all", "--json"],
    "compare": ["--tolerance", "--all"],
    "export": ["--output", "--results", "--license", "--unfinished", "--force"],
    "check-crate": [],
    "verify": [],
    "nothing": [],
}


@st.composite
def commands(draw: st.DrawFn) -> list[str]:
    name = draw(st.sampled_from(sorted(OPTIONS)))
    values = st.one_of(st.sampled_from(ODD), st.text(max_size=8))
    found = [name, *draw(st.lists(values, max_size=2))]
    for option in draw(st.lists(st.sampled_from(OPTIONS[name]), max_size=2)) if OPTIONS[name] else []:
        found += [option, draw(values)]
    return found


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of a call."""
    monkeypatch.setattr("sys.argv", ["tdbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], little_memory: None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDBENCH_CACHE", str(tmp_path))
    # Nothing is fetched.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    @inputs(300)
    @given(commands())
    def check(arguments: list[str]) -> None:
        def read() -> None:
            code = call(monkeypatch, *arguments)
            said = capsys.readouterr().err
            assert "Traceback" not in said and code in (0, 1, 2), (arguments, said)
            if code == 2:
                assert said.strip(), arguments
                raise TdbenchError(f"tdbench: {said}")

        judge("command line", "tdbench", read)

    check()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", str(TINY), "--tflops", "inf"], "--tflops inf: expected a finite number"),
        (["compare", "a", "b", "--tolerance", "inf"], "--tolerance inf: expected a finite number"),
        (["status", "a", "--watch", "inf"], "--watch inf: expected a finite number"),
        (["validate", "a\nb.yaml"], "a\\nb.yaml: no such experiment file"),
        (["validate", "\x1b[2J.yaml"], "\\x1b[2J.yaml: no such experiment file"),
        (["validate", "x" * 300 + ".yaml"], "File name too long"),
        (["verify", "/dev/null"], "/dev/null: not an npz of plain arrays"),
        (["check-crate", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_a_mistake_is_a_line_and_exit_code_2(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and "\x1b" not in said, said


def test_a_name_that_is_no_text_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.yaml")
    Path(path).write_text("name: 3\n")
    assert call(monkeypatch, "validate", path) == 2
    assert "\\udcff\\udcfe.yaml: " in capsys.readouterr().err
