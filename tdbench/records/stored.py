"""Stored scores, and whether they are what the experiment asks for."""

from pathlib import Path
from typing import Any

import numpy as np

from tdbench.diffusion.consistency import IMAGES, POINTS, has_yardstick
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.schema import (
    Consistency,
    Data,
    Finished,
    MetricsLine,
    Sampled,
    Scored,
    Trained,
    check_record,
    read_record,
    same_data,
)
from tdbench.runtime import advice
from tdbench.runtime.arrays import read_arrays
from tdbench.runtime.files import parse_json, sha256
from tdbench.runtime.provenance import same_code


def read_scored(run: Run, layout: RunLayout) -> list[dict[str, Any]]:
    """The scores of a run: one row a library, metric and sample set.

    Raises
    ------
    TdbenchError
        If they are missing, or if they, the samples or the weights behind them were made with other settings
        than the experiment's.
    """
    scores: list[dict[str, Any]] = _stored(run, layout)["scores"]
    return scores


def read_nearest(run: Run, layout: RunLayout) -> dict[str, Any]:
    """The samples of a run that come nearest to images of the data (`memorisation.nearest_in_data`).

    With ``snapshot_images`` and ``steps`` of the sample set; raises as `read_scored` does.
    """
    nearest: dict[str, Any] = _stored(run, layout)["nearest"]
    return nearest


def _stored(run: Run, layout: RunLayout) -> dict[str, Any]:
    command = advice.stage("evaluate", run, layout.results)
    stored = read_record(layout.scores, command, Scored)
    samples = read_sampled(run, layout)
    same_samples = {s["samples"] for s in stored["scores"]} == {entry["sha256"] for entry in samples}
    if stored.get("evaluation") != run.evaluation_settings() or not same_samples:
        raise TdbenchError(
            f"{layout.scores}: of other samples or settings than the experiment's; run `{command}` again"
        )
    return stored


def read_trained(run: Run, layout: RunLayout) -> dict[str, Any]:
    """The record of a finished training.

    Raises
    ------
    TdbenchError
        If it is missing or was made with other settings than the experiment now has.
    """
    command = advice.stage("train", run, layout.results)
    record = read_record(layout.settings, command, Trained)
    try:
        trained = Run.model_validate(record["run"]).training_settings()
    except Exception as error:  # of another version, or damaged, which settings take in many ways
        raise TdbenchError(
            f"{layout.settings}: its settings are damaged, or of another version of tdbench; run `{command}` again"
        ) from error
    wanted, apart = run.training_settings(), {"dataset": None}
    but_for_the_source = trained | apart == wanted | apart
    if trained != wanted and not (but_for_the_source and _same_images(run, record, layout)):
        raise TdbenchError(
            f"{layout.settings}: was trained with other settings than the experiment's; run `{command}` again"
        )
    return record


def _same_images(run: Run, record: dict[str, Any], layout: RunLayout) -> bool:
    """Whether a run that names another source was trained on the very images of its data set.

    A folder of images, and the archive that was made of it and is in a crate, are the same data.
    """
    files = DatasetLayout(layout.results, run.dataset_name)
    try:
        command = advice.snakemake(run.file, files.results, files.archive)
        return same_data(record["data"], read_record(files.summary, command, Data))
    except TdbenchError:
        return False


def snapshot_entries(run: Run, layout: RunLayout) -> dict[int, dict[str, Any]]:
    """The entries of a finished training's snapshots, by images shown."""
    command = advice.stage("train", run, layout.results)
    entries = {entry["images"]: entry for entry in read_record(layout.snapshots, command, Finished)["snapshots"]}
    missing = [images for images in run.scored_snapshots() if images not in entries]
    if missing:
        raise TdbenchError(f"{layout.snapshots}: no snapshot after {missing[0]} images; run `{command}` again")
    return entries


def read_sampled(run: Run, layout: RunLayout) -> list[dict[str, Any]]:
    """The records of a run's sample sets.

    Raises
    ------
    TdbenchError
        If they are missing, or were made with other settings or from other snapshots than the experiment's.
    """
    command = advice.stage("sample", run, layout.results)
    snapshots = snapshot_entries(run, layout)
    records: list[dict[str, Any]] = read_record(layout.samples, command, Sampled)["samples"]
    wanted = [sample_key(run, snapshots[i]["sha256"], s) for i in run.scored_snapshots() for s in run.sampling.steps]
    if [record["key"] for record in records] != wanted:
        raise TdbenchError(
            f"{layout.samples}: of other snapshots or settings than the experiment's; run `{command}` again"
        )
    return records


def read_sample_set(run: Run, layout: RunLayout, record: dict[str, Any]) -> np.ndarray:
    """(N, H, W, C) uint8 images of a set that `read_sampled` knows, its bytes compared with its record.

    Raises
    ------
    TdbenchError
        If it is missing or changed.
    """
    path, command = layout.folder / record["file"], advice.stage("sample", run, layout.results)
    if not path.exists() or sha256(path) != record["sha256"]:
        raise TdbenchError(f"{path}: missing or changed since it was sampled; run `{command}` again")
    return read_samples(path, command)


def sample_set_of(run: Run, layout: RunLayout, images: int, steps: int) -> np.ndarray:
    """The set of a snapshot, after ``images`` images, at a step budget; raises as `read_sample_set` does."""
    wanted = (images, steps)
    record = next(r for r in read_sampled(run, layout) if (r["snapshot_images"], r["steps"]) == wanted)
    return read_sample_set(run, layout, record)


def sample_key(run: Run, snapshot: str, steps: int) -> dict[str, Any]:
    """What a set of samples depends on."""
    return {
        "snapshot": snapshot,
        "sampler": run.sampling.sampler.model_dump(mode="json"),
        "steps": steps,
        "images": run.sampling.images,
        "classes": run.sampling.classes,
        "seed": run.seed,
        "formulation": run.formulation.model_dump(mode="json", by_alias=True),
    }


def read_samples(path: Path, made_by: str | None = None) -> np.ndarray:
    """(N, H, W, C) uint8 images of a sample set; ``made_by`` is the command that makes it anew, for messages.

    Raises
    ------
    TdbenchError
        If it is missing, damaged, or not of that form.
    """
    try:
        pixels = read_arrays(path, "arr_0")["arr_0"]
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such sample set; {advice.again(made_by)}") from error
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise TdbenchError(f"{path}: not a whole npz with arr_0 ({error}); {advice.again(made_by)}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or 0 in pixels.shape:
        raise TdbenchError(f"{path}: arr_0 is {pixels.dtype} {pixels.shape}; expected uint8 (N, H, W, 1 or 3)")
    return pixels


def consistency_key(run: Run, layout: RunLayout) -> dict[str, Any]:
    """What the figures depend on."""
    entries = read_record(layout.snapshots, advice.stage("train", run, layout.results), Finished)["snapshots"]
    last = run.scored_snapshots()[-1]
    snapshot = next((entry["sha256"] for entry in entries if entry["images"] == last), None)
    return {
        "snapshot": snapshot,
        "seed": run.seed,
        "images": IMAGES,
        "points": POINTS,
        "formulation": run.formulation.model_dump(mode="json", by_alias=True),
    }


def read_consistency(run: Run, layout: RunLayout) -> dict[str, Any] | None:
    """What `measure_consistency` wrote of a run; None where there is nothing to measure.

    Raises
    ------
    TdbenchError
        If it is missing, damaged, or of another snapshot or other settings.
    """
    if not has_yardstick(run.formulation):
        return None
    command = advice.stage("sample", run, layout.results)
    content = read_record(layout.consistency, command, Consistency)
    if content.get("key") != consistency_key(run, layout):
        raise TdbenchError(f"{layout.consistency}: of another snapshot or other settings; run `{command}` again")
    return content


def consistency_measured(run: Run, layout: RunLayout) -> bool:
    """Whether it is stored, whole and by this very code; raises as `read_consistency` does."""
    content = read_consistency(run, layout)
    return content is None or same_code(content["provenance"])


def read_metrics(path: Path, made_by: str | None = None) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line cut short by a killed process is left out.

    ``made_by`` is the command that writes it, for messages.

    Raises
    ------
    TdbenchError
        If it is missing, or another line than the last is not as a training writes it.
    """
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such file; {advice.again(made_by)}") from error
    except OSError as error:
        raise TdbenchError(f"{path}: cannot be read ({error.strerror}); {advice.again(made_by)}") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = parse_json(text)
        except (ValueError, RecursionError) as error:
            if number == len(texts):
                break
            raise TdbenchError(f"{path}: line {number} is damaged; {advice.again(made_by)}") from error
        check_record(f"{path}: line {number}", line, made_by, MetricsLine)
        lines.append(line)
    return lines
