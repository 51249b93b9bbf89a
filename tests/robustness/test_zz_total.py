"""How many bad inputs there were; named so that it comes after those that count them."""

import pytest

from tests.robustness.tally import COUNTS

READERS = {
    "experiment, structure",
    "experiment, text",
    "experiment, YAML",
    "archive, bytes",
    "archive, labels",
    "archive, names",
    "folder, bytes",
    "CIFAR-10",
    "samples, bytes",
    "samples, heads",
    "reference features, bytes",
    "reference features, content",
    "reference vectors",
    "reference vectors, bytes",
    "snapshot, bytes",
    "snapshot, head",
    "checkpoint",
    "weights, torch's format",
    "run.json",
    "snapshots.json",
    "samples.json",
    "scores.json",
    "consistency.json",
    "mechanism.json",
    "metrics.jsonl",
    "progress.jsonl",
    "plan.json",
    "records, by status",
    "classifier.json",
    "published figures",
    "reference.json",
    "reference results, scores",
    "scores.parquet, bytes",
    "scores.parquet, columns",
    "runs.csv",
    "tables, shown",
    "crate, bytes",
    "crate, description",
    "command line",
}


def test_ten_thousand_bad_inputs_were_refused_in_lines_and_by_nothing_else() -> None:
    missing = READERS - set(COUNTS)
    if missing:
        pytest.skip(f"run the whole folder tests/robustness: {len(missing)} readers were not tried")
    assert set(COUNTS) == READERS
    assert sum(found["refused"] for found in COUNTS.values()) >= 10_000
