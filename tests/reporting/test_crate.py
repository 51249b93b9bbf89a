"""`tdbench export` and `check-crate`: real results of a very short experiment, packed, read back and damaged."""

import hashlib
import json
import resource
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from rocrate.model import Entity
from rocrate.rocrate import ROCrate
from rocrate.utils import as_list
from typer.testing import CliRunner, Result

from tdbench.cli.main import app
from tdbench.reporting.crate import export, gather
from tests.reporting.conftest import COMMIT

METADATA = "ro-crate-metadata.json"
RUN = "digits/edm-td-seed0"


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """One to damage."""
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def exported(folder: Path, output: Path, *options: str) -> Result:
    arguments = [str(folder / "short.yaml"), "--results", str(folder / "results"), "--output", str(output)]
    return CliRunner().invoke(app, ["export", *arguments, *options])


def refusal(folder: Path, output: Path, *options: str) -> str:
    """What an export that fails says; it leaves nothing behind."""
    before = sorted(output.parent.iterdir()) if output.parent.is_dir() else []
    result = exported(folder, output, *options)
    said = str(result.exception)
    assert result.exit_code == 1 and type(result.exception).__name__ == "TdbenchError", result.output + said
    assert "\n" not in said
    assert before == (sorted(output.parent.iterdir()) if output.parent.is_dir() else [])
    return said


def checked(crate: Path) -> Result:
    return CliRunner().invoke(app, ["check-crate", str(crate)])


def faults(crate: Path) -> list[str]:
    result = checked(crate)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    *lines, last = result.output.splitlines()
    assert last == f"{crate}: damaged: {len(lines)} faults"
    return lines


@pytest.fixture(scope="module")
def packed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "short.crate.zip"
    result = exported(made, path)
    assert result.exit_code == 0, (result.output, result.exception)
    return path


@pytest.fixture(scope="module")
def crate(packed: Path) -> ROCrate:
    """Read by the library, with its warnings as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ROCrate(packed)


def unpacked(packed: Path, folder: Path) -> Path:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    return folder


def test_every_file_is_described_with_its_checksum_size_and_format(packed: Path, crate: ROCrate) -> None:
    with zipfile.ZipFile(packed) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    described = {unquote(entity.id): entity for entity in crate.data_entities}
    assert set(contents) == {METADATA, *described}
    for name, entity in described.items():
        assert entity["sha256"] == hashlib.sha256(contents[name]).hexdigest()
        assert entity["contentSize"] == str(len(contents[name])) and entity["encodingFormat"] and entity["description"]
    context = json.loads(contents[METADATA])["@context"]
    assert context == ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]


def test_what_a_reader_looks_for_is_in_it_and_what_is_large_is_not(packed: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
        reference = json.loads(archive.read("datasets/digits/reference-classifier-clean-fid.json"))
        settings = json.loads(archive.read("resolved.json"))
        readme = archive.read("README.md").decode()
    run = f"short/runs/{RUN}"
    assert names >= {
        "experiment.yaml",
        "mine.py",
        "short/plan.json",
        "datasets/digits/archive.json",
        "short/report.html",
        "short/scores.parquet",
        "short/scores.csv",
        "short/runs.csv",
        "short/tables/comparison.tex",
        "short/figures/fid-against-nfe.svg",
        "datasets/digits/classifier.json",
        *(f"{run}/{name}.json" for name in ("run", "snapshots", "samples", "consistency", "scores")),
        f"{run}/metrics.jsonl",
    }
    assert not {name for name in names if name.endswith((".safetensors", ".npz", "archive.zip"))}
    assert reference["facts"]["library"] == "clean-fid" and len(reference["sha256"]) == 64
    assert settings[RUN]["objective"]["kind"] == "td" and len(settings) == 6
    assert COMMIT in readme and "--with-weights packs them" in readme and "seeds 0, 1" in readme


def ids(action: Entity, key: str) -> set[str]:
    return {entity.id for entity in as_list(action[key])}


def test_each_stage_of_a_run_says_by_what_from_what_and_when(crate: ROCrate) -> None:
    actions = {action.id: action for action in crate.get_by_type("CreateAction")}
    assert {f"#{stage}/{RUN}" for stage in ("train", "sample", "evaluate")} <= set(actions)
    # The longer baselines have no training of their own. The references of two libraries, and the report.
    assert len(actions) == 4 * 3 + 2 * 2 + 2 + 1
    assert {action.id for action in crate.root_dataset["mentions"]} == set(actions)
    for action in actions.values():
        software = action["instrument"]
        assert software["name"] == "tdbench" and software["identifier"] == COMMIT
        assert software["softwareVersion"].endswith(f"+{COMMIT}")
        assert {library["name"] for library in software["softwareRequirements"]} >= {"python", "torch", "clean-fid"}
        assert action["endTime"] and "agent" not in action
        assert action.get("startTime", "") <= action["endTime"]
    train, sample, evaluate = (actions[f"#{stage}/{RUN}"] for stage in ("train", "sample", "evaluate"))
    assert {entity.id for entity in train["object"]} >= {"experiment.yaml", "datasets/digits/archive.json", "#seed-0"}
    assert f"tdbench train experiment.yaml {RUN}; device cpu" in train["description"]
    # From one to the next.
    assert f"short/runs/{RUN}/snapshots.json" in ids(train, "result") & ids(sample, "object")
    assert f"short/runs/{RUN}/samples.json" in ids(sample, "result") & ids(evaluate, "object")
    assert "short/report.html" in {entity.id for entity in actions["#report/short"]["result"]}
    assert all("startTime" in action for action in (train, sample, evaluate))


@pytest.mark.slow
def test_profiles_are_claimed_as_far_as_they_hold(
    made: Path, crate: ROCrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profiles(crate: ROCrate) -> list[str]:
        return [entity.id.split("/")[-2] for entity in as_list(crate.root_dataset["conformsTo"])]

    assert profiles(crate) == ["process"] and "No licence is stated" in crate.license and crate.mainEntity is None
    # Of the very commit that made the results, the workflow is at hand.
    monkeypatch.setattr(gather, "git_commit", lambda: COMMIT)
    assert exported(made, tmp_path / "a.zip").exit_code == 0
    plain = ROCrate(tmp_path / "a.zip")
    assert profiles(plain) == ["process"] and plain.mainEntity.id == "software/Snakefile"
    assert exported(made, tmp_path / "b.zip", "--license", "CC-BY-4.0").exit_code == 0
    licensed = ROCrate(tmp_path / "b.zip")
    assert profiles(licensed) == ["process", "workflow", "workflow-ro-crate"]
    assert licensed.license.id == "https://spdx.org/licenses/CC-BY-4.0"
    workflow = licensed.mainEntity
    assert workflow.type == ["File", "SoftwareSourceCode", "ComputationalWorkflow"]
    assert workflow["programmingLanguage"]["name"] == "Snakemake" and workflow["version"] == COMMIT
    action = licensed.get("#workflow")
    assert action["instrument"] == workflow and action["startTime"] <= action["endTime"]
    assert licensed.get("software/requirements.lock") and licensed.get("software/workflow/rules/train.smk")
    assert checked(tmp_path / "b.zip").exit_code == 0


@pytest.mark.slow
def test_twice_the_same_but_for_the_date(made: Path, packed: Path, tmp_path: Path) -> None:
    assert exported(made, tmp_path / "again.zip").exit_code == 0
    found = []
    for path in (packed, tmp_path / "again.zip"):
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        metadata = json.loads(files.pop(METADATA))
        root = next(entity for entity in metadata["@graph"] if entity["@id"] == "./")
        assert root.pop("datePublished")
        found.append((list(files.items()), metadata))
    assert found[0] == found[1]


def test_a_whole_crate_says_how_to_repeat_it(packed: Path, tmp_path: Path) -> None:
    for path in (packed, unpacked(packed, tmp_path / "here")):
        result = checked(path)
        assert result.exit_code == 0 and f"{path}: complete: " in result.output, result.output
        assert f"git checkout {COMMIT} && make install" in result.output
        assert "experiment.yaml results=again" in result.output and "read it first: mine.py" in result.output


@pytest.mark.slow
def test_an_unpacked_crate_is_compared_as_results_are(made: Path, packed: Path, tmp_path: Path) -> None:
    folder = unpacked(packed, tmp_path / "crate")
    for a, b in ((folder, made / "results"), (made / "results", folder), (folder / "short", made / "results")):
        result = CliRunner().invoke(app, ["compare", str(a), str(b)])
        assert result.exit_code == 0 and "A and B are the same." in result.output, result.output


@pytest.mark.slow
def test_with_everything_the_report_is_made_again_from_the_crate(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "crate"
    result = exported(made, output, "--with-weights", "--with-samples", "--with-data")
    assert result.exit_code == 0 and "left out" not in result.output
    assert checked(output).exit_code == 0
    scores = (output / "short" / "scores.csv").read_text()
    arguments = [str(output / "experiment.yaml"), "--results", str(output)]
    assert CliRunner().invoke(app, ["report", *arguments]).exit_code == 0
    assert (output / "short" / "scores.csv").read_text() == scores
    assert CliRunner().invoke(app, ["evaluate", arguments[0], RUN, *arguments[1:]]).exit_code == 0
    names = [line.partition(":")[0] for line in faults(output)]
    assert f"short/runs/{RUN}/scores.json" in names  # its times
    assert exported(made, output, "--force").exit_code == 0 and checked(output).exit_code == 0


def test_what_is_left_out_is_said_with_its_size(made: Path, tmp_path: Path) -> None:
    said = exported(made, tmp_path / "a.zip").output
    for words in ("of weights, ", "of samples, ", "of data, ", "MB (--with-weights packs them)"):
        assert words in said
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert f"of its {METADATA}: {hashlib.sha256(archive.read(METADATA)).hexdigest()}" in said


def flip(folder: Path) -> None:
    path = folder / "short" / "scores.csv"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def rewrite(change: Callable[[list[dict]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = json.loads((folder / METADATA).read_text())
        change(content["@graph"])
        (folder / METADATA).write_text(json.dumps(content))

    return damage


def entity(graph: list[dict], name: str) -> dict:
    return next(e for e in graph if e["@id"] == name)


DAMAGE = {
    "a byte": (flip, "short/scores.csv: sha256"),
    "missing": (lambda f: (f / "short" / "runs.csv").unlink(), "short/runs.csv: missing"),
    "additional": (lambda f: (f / "short" / "more.txt").write_text("x"), "short/more.txt: not described by"),
    "longer": (lambda f: (f / "README.md").open("a").write("x"), "README.md: longer than the"),
    "shorter": (lambda f: (f / "README.md").write_text("x"), "README.md: 1 bytes, expected"),
    "a link": (lambda f: (f / "link").symlink_to("/etc/passwd"), "link: a link, which may point outside the crate"),
    "no metadata": (lambda f: (f / METADATA).unlink(), f"{METADATA}: missing; not an RO-Crate"),
    "no JSON": (lambda f: (f / METADATA).write_text("{"), f"{METADATA}: not readable as RO-Crate metadata"),
    "no root": (rewrite(lambda g: g.remove(entity(g, "./"))), f"{METADATA}: not readable as RO-Crate metadata"),
    "no checksum": (
        rewrite(lambda g: entity(g, "README.md").pop("sha256")),
        "README.md: described without sha256 and contentSize",
    ),
    "twice": (rewrite(lambda g: g.append(dict(entity(g, "README.md")))), "describes 'README.md' twice"),
    "unlisted": (
        rewrite(lambda g: entity(g, "./")["hasPart"].remove({"@id": "README.md"})),
        f"README.md: not described by {METADATA}",
    ),
    "a path out": (
        rewrite(
            lambda g: (
                g.append(entity(g, "README.md") | {"@id": "../../etc/passwd"}),
                entity(g, "./")["hasPart"].append({"@id": "../../etc/passwd"}),
            )
        ),
        "../../etc/passwd: described, but outside the crate; refused",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found_in_a_folder_and_in_a_zip(kind: str, packed: Path, tmp_path: Path) -> None:
    damage, words = DAMAGE[kind]
    folder = unpacked(packed, tmp_path / "crate")
    damage(folder)
    lines = faults(folder)
    assert len(lines) == 1 and words in lines[0], lines
    if kind == "a link":
        return  # zipfile would pack what it points to
    archive = Path(shutil.make_archive(str(tmp_path / "damaged"), "zip", folder))
    assert faults(archive) == lines


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "..\\out.txt", "c:/out.txt"])
def test_a_zip_whose_paths_lead_out_is_refused_and_not_unpacked(name: str, packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "in" / "bad.zip"
    path.parent.mkdir()
    shutil.copy(packed, path)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, "x")
    assert f"{name}: a path outside the crate; refused" in faults(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "bad.zip"]


def test_a_link_or_a_second_file_of_a_name_in_a_zip_is_refused(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    shutil.copy(packed, path)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("README.md", "another")
    assert faults(path)[:2] == [
        "link: a link, which may point outside the crate; refused",
        "README.md: listed twice; refused",
    ]


def test_a_zip_cut_short_or_with_a_changed_byte_is_found(packed: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    cut, changed = tmp_path / "cut.zip", tmp_path / "changed.zip"
    cut.write_bytes(content[: len(content) // 2])
    assert "cannot be read (damaged zip" in faults(cut)[0]
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo("short/report.html")
    at = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    changed.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
    assert [line.partition(":")[0] for line in faults(changed)] == ["short/report.html"]
    missing = checked(tmp_path / "nothing.zip")
    assert missing.exit_code == 1 and "no such file or folder" in str(missing.exception)


def test_an_unfinished_experiment_names_the_run_and_is_packed_only_when_asked(copy: Path, tmp_path: Path) -> None:
    (copy / "results" / "short" / "runs" / RUN / "scores.json").unlink()
    (copy / "results" / "short" / "runs" / "digits" / "edm-td-seed1" / "snapshots.json").unlink()
    said = refusal(copy, tmp_path / "a.zip")
    command = f"tdbench evaluate {copy / 'short.yaml'} {RUN} --results {copy / 'results'}"
    assert f"runs/{RUN}/scores.json: no such file; `{command}` writes it" in said
    assert "1 more of 6 runs are not finished" in said and "--unfinished" in said
    result = exported(copy, tmp_path / "a.zip", "--unfinished")
    assert result.exit_code == 0 and "unfinished: 2 runs are not complete, and there is no report" in result.output
    crate = ROCrate(tmp_path / "a.zip")
    assert crate.creativeWorkStatus == "Incomplete" and "Unfinished: 2 of 6 runs" in crate.description
    assert crate.get(f"#sample/{RUN}") and not crate.get(f"#evaluate/{RUN}") and not crate.get("short/report.html")
    assert not crate.get("#train/digits/edm-td-seed1")
    said = checked(tmp_path / "a.zip")
    assert said.exit_code == 0 and "its status: Incomplete" in said.output


def damaged(path: str, content: Callable[[str], str] | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / "results" / path
        if content is None:
            file.unlink()
        else:
            file.write_text(content(file.read_text()))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged("short/report.html", None), "report.html: no such file; `tdbench report"),
        (damaged("short/tables/comparison.md", None), "comparison.md: no such file; `tdbench report"),
        (damaged(f"short/runs/{RUN}/run.json", lambda t: t[:50]), "run.json: cannot be read as JSON"),
        (damaged(f"short/runs/{RUN}/snapshots.json", lambda t: "{}"), "snapshots: is missing; damaged"),
        (
            damaged(f"short/runs/{RUN}/metrics.jsonl", lambda t: t[:-20]),
            "metrics.jsonl: does not end with the training's last line",
        ),
        (damaged(f"short/runs/{RUN}/metrics.jsonl", None), "metrics.jsonl: no such file; run `tdbench train"),
        (damaged("short/scores.csv", lambda t: t.replace("clean-fid", "klean-fid")), "scores.csv: not the scores that"),
        (damaged("short/scores.csv", lambda t: "\0"), "scores.csv: not a table of scores"),
        (
            damaged("datasets/digits/archive.json", lambda t: t.replace('"channels": 1', '"channels": 3')),
            "archive.json: not the data",
        ),
        (damaged("datasets/digits/reference-classifier-clean-fid.npz", None), "no readable reference features"),
        (lambda f: shutil.rmtree(f / "results" / "short"), "short: no results of experiment 'short'; run `snakemake"),
    ],
)
def test_what_is_missing_damaged_or_stale_is_named(
    damage: Callable[[Path], None], words: str, copy: Path, tmp_path: Path
) -> None:
    damage(copy)
    assert words in refusal(copy, tmp_path / "a.zip")


def test_scores_changed_since_the_report_are_not_packed_with_it(copy: Path, tmp_path: Path) -> None:
    path = copy / "results" / "short" / "runs" / RUN / "scores.json"
    content = json.loads(path.read_text())
    content["scores"][0]["value"] += 1
    path.write_text(json.dumps(content))
    assert "scores.parquet: not the scores that the runs have now; run `tdbench report" in refusal(
        copy, tmp_path / "a.zip"
    )


@pytest.mark.parametrize(
    ("pattern", "option", "words"),
    [
        ("short/runs/digits/edm-td-seed0/snapshots/*320.safetensors", "--with-weights", "the weights changed"),
        ("short/runs/digits/edm-td-seed0/samples/*/*.npz", "--with-samples", "changed since it was sampled"),
        ("datasets/digits/archive.zip", "--with-data", "archive.zip: missing or changed"),
    ],
)
def test_large_files_are_those_that_were_scored(
    pattern: str, option: str, words: str, copy: Path, tmp_path: Path
) -> None:
    path = next((copy / "results").glob(pattern))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert words in refusal(copy, tmp_path / "a.zip", option)
    assert exported(copy, tmp_path / "a.zip").exit_code == 0


def test_an_output_that_exists_is_replaced_only_when_asked(made: Path, packed: Path, tmp_path: Path) -> None:
    output, folder = tmp_path / "a.zip", tmp_path / "folder"
    output.write_text("mine")
    assert "exists; choose another, or replace it with --force" in refusal(made, output)
    assert output.read_text() == "mine"
    assert exported(made, output, "--force").exit_code == 0 and checked(output).exit_code == 0
    folder.mkdir()
    (folder / "mine").write_text("")
    assert "is not a crate; --force replaces only crates" in refusal(made, folder, "--force")
    assert "is the results folder or contains it" in refusal(made, made / "results", "--force")
    assert "no such folder" in refusal(made, tmp_path / "nowhere" / "a.zip")
    assert "--license 'my own': expected" in refusal(made, tmp_path / "b.zip", "--license", "my own")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "folder"]


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """Files cannot grow beyond it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.zip", "folder"])
def test_a_disk_that_is_full_leaves_nothing_half_written(name: str, made: Path, tmp_path: Path) -> None:
    with largest_file(20_000):
        said = refusal(made, tmp_path / name)
    assert f"{name}: cannot be written (" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.zip", "folder"])
def test_results_that_change_meanwhile_are_not_packed(
    name: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = export.describe

    def then_change(*arguments: object) -> ROCrate:
        crate = describe(*arguments)
        with (copy / "results" / "short" / "runs.csv").open("a") as file:
            file.write("more\n")
        return crate

    monkeypatch.setattr(export, "describe", then_change)
    said = refusal(copy, tmp_path / name)
    assert "because a file changed meanwhile: short/runs.csv: longer than the" in said and str(tmp_path / name) in said
