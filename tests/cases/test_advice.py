"""Messages advise commands that work when typed: each is produced for real, taken from its message, and typed."""

import ast
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tdbench.experiment.load import load_plan
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.runtime import advice
from tests.cases.calls import INPUTS, environment, refused, tdbench
from tests.conftest import ROOT, TINY

RUN = "digits/edm-baseline-seed0"
RESULTS = "the results"


@pytest.fixture(scope="module")
def made(prepared: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment that is called otherwise than its file, and a finished run of it, in odd places."""
    folder = tmp_path_factory.mktemp("advice")
    content = yaml.safe_load(TINY.read_text()) | {"name": "mine", "ablations": {}, "seeds": [0]}
    content["training"] |= {"duration_kimg": 0.128, "snapshot_kimg": 0.064, "rampup_kimg": 0.0}
    content["sampling"] = {"steps": [2], "images": 20, "batch_size": 20}
    content["evaluation"] = {"kid_subsets": 2, "kid_subset_size": 10, "bootstrap": 0}
    content["evaluation"] |= {"curve": None, "equal_passes": False, "mechanism": None}
    (folder / "my files").mkdir()
    (folder / "my files" / "base.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    shutil.copytree(prepared.folder, folder / RESULTS / "datasets" / "digits")
    for stage in ("train", "sample", "evaluate"):
        runs = ("digits/edm-baseline-seed0", "digits/edm-td-seed0")
        called = tdbench(stage, "my files/base.yaml", *runs, "--results", RESULTS, cwd=folder)
        assert called.code == 0, called
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def commands(said: str) -> list[list[str]]:
    """The words of every command that a message names."""
    return [shlex.split(found) for found in re.findall(r"`((?:tdbench|snakemake) [^`]*)`", said)]


def typed(said: str, cwd: Path) -> None:
    """Type every command of tdbench that a message names; each has to work."""
    found = commands(said)
    assert found, said
    for words in found:
        assert words[0] == "tdbench", said
        called = tdbench(*words[1:], cwd=cwd)
        assert called.code == 0, (words, called)


def run_files(folder: Path) -> RunLayout:
    plan: Plan = load_plan(str(folder / "my files" / "base.yaml"))
    return RunLayout(folder / RESULTS, plan.run(RUN))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def stopped(*arguments: object, cwd: Path) -> str:
    """What a call says that stops at a mistake, perhaps after some progress."""
    called = tdbench(*arguments, cwd=cwd)
    assert called.code == 2, called
    return called.err.strip().splitlines()[-1]


DAMAGES: dict[str, tuple[Callable[[RunLayout], Path], str]] = {
    "run.json": (lambda files: files.settings, "sample"),
    "snapshots.json": (lambda files: files.snapshots, "sample"),
    "a snapshot": (lambda files: files.snapshot(128), "sample"),
    "samples.json": (lambda files: files.samples, "evaluate"),
    "a sample set": (lambda files: files.sample_set(128, 2), "evaluate"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_files_of_a_run(name: str, folder: Path) -> None:
    """Its stage stops at the damage; what it advises, typed, mends it."""
    file, stage = DAMAGES[name]
    cut(file(run_files(folder)))
    call = (stage, "my files/base.yaml", RUN, "--results", RESULTS)
    typed(stopped(*call, cwd=folder), folder)
    assert tdbench(*call, cwd=folder).code == 0


@pytest.mark.slow
def test_other_settings(folder: Path) -> None:
    path = folder / "my files" / "base.yaml"
    path.write_text(path.read_text().replace("learning_rate: 0.002", "learning_rate: 0.001"))
    call = ("sample", "my files/base.yaml", RUN, "--results", RESULTS)
    said = stopped(*call, cwd=folder)
    assert "was trained with other settings" in said
    typed(said, folder)
    assert tdbench(*call, cwd=folder).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier.json", "reference-classifier-clean-fid.npz"])
def test_files_of_a_data_set(name: str, folder: Path) -> None:
    cut(folder / RESULTS / "datasets" / "digits" / name)
    call = ("evaluate", "my files/base.yaml", RUN, "--results", RESULTS)
    typed(stopped(*call, cwd=folder), folder)
    assert tdbench(*call, cwd=folder).code == 0


@pytest.mark.slow
def test_an_archive_that_is_missing(folder: Path) -> None:
    """Snakemake makes it, with the experiment's settings and plug-ins."""
    (folder / RESULTS / "datasets" / "digits" / "archive.zip").unlink()
    said = stopped("train", "my files/base.yaml", RUN, "--results", RESULTS, cwd=folder)
    ((program, *words),) = commands(said)
    archive = f"{RESULTS}/datasets/digits/archive.zip"
    config = ["--config", "experiment=my files/base.yaml", f"results=./{RESULTS}"]
    assert program == "snakemake" and words == ["--cores", "all", "--force", *config, "--", archive]
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0 and (folder / archive).is_file(), done.stderr
    (folder / archive).unlink()
    said = refused("classifier", "digits", "--results", RESULTS, cwd=folder)
    assert commands(said) == [["tdbench", "data", "--help"]]
    typed(said, folder)


@pytest.mark.slow
def test_the_report_and_the_crate(folder: Path) -> None:
    call = ("my files/base.yaml", "--results", RESULTS)
    again = ["tdbench", "report", *call]
    ((program, *words),) = commands(stopped("show", *call, cwd=folder))
    config = ["--config", "experiment=my files/base.yaml", f"results=./{RESULTS}"]
    assert program == "snakemake" and words == ["--cores", "all", *config]
    (run_files(folder).metrics).unlink()
    said = stopped("report", *call, cwd=folder)
    assert commands(said) == [["tdbench", "train", "my files/base.yaml", RUN, "--results", RESULTS]]
    typed(said, folder)
    for stage in ("sample", "evaluate"):
        assert tdbench(stage, call[0], RUN, *call[1:], cwd=folder).code == 0
    # The report also shows what a perfect sampler would score.
    typed(stopped("report", *call, cwd=folder), folder)
    assert tdbench("report", *call, cwd=folder).code == 0
    report = folder / RESULTS / "mine"
    (report / "scores.csv").unlink()
    assert commands(stopped("export", *call, "-o", "c.zip", cwd=folder)) == [again]
    (report / "tables" / "comparison.csv").write_bytes(b"\0\1")
    assert commands(stopped("show", *call, cwd=folder)) == [again]
    cut(report / "scores.parquet")
    said = stopped("compare", RESULTS, RESULTS, cwd=folder)
    assert commands(said) == [again]
    typed(said, folder)
    for name in (("show", *call), ("compare", RESULTS, RESULTS), ("export", *call, "-o", "c.zip")):
        assert tdbench(*name, cwd=folder).code == 0


def test_names_of_runs(folder: Path) -> None:
    typed(refused("train", "my files/base.yaml", "edm-dt-seed0", cwd=folder), folder)


def test_as_it_was_found(tmp_path: Path) -> None:
    """The file has the name base.yaml, and the experiment in it the name mine."""
    shutil.copy(INPUTS / "advice" / "base.yaml", tmp_path)
    said = refused("report", "base.yaml", "--results", "r", cwd=tmp_path)
    assert commands(said) == [["tdbench", "train", "base.yaml", RUN, "--results", "r"]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (advice.command("train", Path("-x.yaml"), "a b"), "tdbench train ./-x.yaml 'a b'"),
        (advice.command("show", "digits", results=Path("results")), "tdbench show digits"),
        (advice.command("show", "digits", results=Path("-r")), "tdbench show digits --results ./-r"),
        (
            advice.snakemake(Path("e.yaml"), Path("007")),
            "snakemake --cores all --config experiment=./e.yaml results=./007",
        ),
    ],
)
def test_paths_that_a_shell_or_snakemake_would_take_otherwise(given: str, expected: str) -> None:
    assert given == expected


def test_what_cannot_be_written_advises_no_option_that_the_command_has_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused("data", "digits", "-o", "file/a.zip", cwd=tmp_path)
    assert said.startswith("file: ") and "--results" not in said
    words = "file: is a file; give a results folder, or the folder of one experiment in it"
    assert refused("status", "file", cwd=tmp_path).startswith(words)
    assert refused("compare", "file", "file", cwd=tmp_path).startswith(words)


def messages() -> Iterator[tuple[str, int, str]]:
    """Every text of the package that is no docstring: file, line, text."""
    for path in sorted((ROOT / "tdbench").rglob("*.py")):
        tree = ast.parse(path.read_text())
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
                yield str(path.relative_to(ROOT)), node.lineno, node.value


def test_no_message_writes_a_command_by_hand() -> None:
    """A command between backticks comes from `advice`, which knows what has to stand in it."""
    found = [
        f"{file}:{line}: {text[:60]}" for file, line, text in messages() if re.search(r"`(tdbench|snakemake) ", text)
    ]
    # The help of the command line: there a name is enough. The crate's page tells of the program.
    allowed = ("tdbench/cli/", "tdbench/reporting/crate/readme.py")
    assert [place for place in found if not place.startswith(allowed)] == []
