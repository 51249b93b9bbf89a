"""Files that went away or changed between stages: noticed before they are used, and made anew as the message says."""

import random
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tdbench.errors import TdbenchError
from tdbench.evaluation.features import load_reference
from tests.reliability.calls import (
    DAMAGE,
    RUNS,
    SMALL,
    STAGES,
    Called,
    outcome,
    stage,
    stages_before,
    tdbench,
)
from tests.reliability.conftest import After

DATA, RUN = "datasets/digits", f"small/runs/{RUNS[1]}"


def advice(done: Called, path: Path) -> list[str]:
    """The command that the message about a file gives."""
    lines = [line for line in done.errors if str(path) in line]
    assert done.code == 2 and lines and "Traceback" not in done.said, done.said
    quoted = re.search(r"`tdbench ([^`]+)`", lines[0])
    return shlex.split(quoted[1]) if quoted else []


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    ("file", "used_by", "made_by"),
    [
        (f"{DATA}/archive.zip", "train", "data"),
        (f"{DATA}/reference-classifier-clean-fid.npz", "evaluate", "reference"),
        (f"{RUN}/snapshots/000000640.safetensors", "sample", "train"),
        (f"{RUN}/samples/000000640/steps-003.npz", "evaluate", "sample"),
    ],
)
def test_it_is_named_before_it_is_used_and_made_anew(
    file: str, used_by: str, made_by: str, damage: str, after: After, stages_done: dict[str, Path]
) -> None:
    results = after(stages_before(used_by))
    path = results / file
    DAMAGE[damage](path)
    words = advice(stage(used_by, results), path)
    if made_by == "data":
        # Snakemake makes it, or another copy serves.
        done = tdbench("data", "digits", "--output", path)
    else:
        assert words[0] == made_by
        done = tdbench(*words)
    assert done.code == 0, done.said
    if made_by in STAGES:
        # The command's run alone is made anew, and what a job keeps is whole.
        assert stage(made_by, results).code == 0
    assert stage(used_by, results).code == 0
    assert outcome(results, used_by) == outcome(stages_done[used_by], used_by)


@pytest.mark.slow
def test_a_classifier_is_named_before_it_is_used_and_trained_anew(after: After) -> None:
    results = after("sample")
    path = results / DATA / "classifier.safetensors"
    whole = path.read_bytes()
    for damage in DAMAGE.values():
        path.write_bytes(whole)
        damage(path)
        words = advice(stage("evaluate", results), path)
        assert words == ["classifier", "digits", "--results", str(results)]
    assert tdbench(*words).code == 0
    assert path.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("file", ["run.json", "snapshots.json", "samples.json", "scores.json", "metrics.jsonl"])
def test_a_record_cut_short_is_named_with_the_command_that_writes_it(file: str, after: After) -> None:
    results = after("evaluate")
    path = results / RUN / file
    path.write_text(path.read_text()[:40] + "\n{}\n")
    done = stage("report", results)
    done.refused(str(path), "damaged" if file == "metrics.jsonl" else "cannot be read as JSON")
    words = advice(done, path)
    assert words[1:] == [str(SMALL), RUNS[1], "--results", str(results)]


@pytest.mark.slow
def test_a_reference_with_any_flipped_bit_is_refused_or_means_the_same(stages_done: dict[str, Path]) -> None:
    """What a zip's own checksums do not cover are names and times that nobody reads."""
    whole = stages_done["data"] / DATA / "reference-classifier-clean-fid.npz"
    content, expected, source = whole.read_bytes(), load_reference(whole), random.Random(2)
    path, refused = whole.with_name("flipped.npz"), 0
    ends = [*range(200), *range(len(content) - 400, len(content))]
    for place in [*ends, *(source.randrange(len(content)) for _ in range(60))]:
        changed = bytearray(content)
        changed[place] ^= 1 << source.randrange(8)
        path.write_bytes(bytes(changed))
        try:
            found = load_reference(path)
        except TdbenchError:
            refused += 1
            continue
        assert np.array_equal(found.features, expected.features) and found.facts == expected.facts
        assert all(map(np.array_equal, found.statistics, expected.statistics))
    path.unlink()
    assert refused > len(ends) / 2
