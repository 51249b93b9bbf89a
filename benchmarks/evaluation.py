"""Cost of scoring a set of samples, relative to running each library in its own way, one after the other.

    python -m benchmarks.evaluation ARCHIVE [--images 10000]

The libraries' own way is the one in their documentation: images in folders, one call of the library per set. clean-fid
has no command line; one process computes FID and KID. torch-fidelity computes FID, KID, precision and recall, and the
Inception score in another process. tdbench does the same work on the same images in one process. Half of the images of
ARCHIVE are the reference, and as many others are the samples. The first set is timed together with the reference;
further sets, like those of other step budgets, are timed separately. Every process uses one core and the features of
`efficientnet-lite0`, whose weights need no download, in the same form, which is several times as fast as the package's
own. Each way runs once, because it takes minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tdbench.data.archive import ImageSet, read_archive
from tdbench.errors import TdbenchError

FEATURES, BATCH = "efficientnet-lite0", 250
KID_SUBSETS, KID_SIZE = 100, 1000
FURTHER = 2
AT_MOST = {"first": 1 / 2, "further": 1 / 3}
"""The targets of the project."""


def clean_fid_way(samples: Path, data: Path) -> dict[str, float]:
    """Compute FID and KID with clean-fid, one call each."""
    import torch
    from cleanfid import fid

    from tdbench.evaluation.efficientnet import load_efficientnet

    extract = load_efficientnet().extract
    same: dict[str, Any] = {
        "batch_size": BATCH,
        "num_workers": 0,
        "device": torch.device("cpu"),
        "verbose": False,
        "custom_fn_resize": lambda image: image,
    }
    found = {"fid": fid.compute_fid(str(samples), str(data), custom_feat_extractor=extract, mode="clean", **same)}
    # compute_kid takes no custom extractor; these are its steps.
    features = [fid.get_folder_features(str(folder), extract, mode="clean", **same) for folder in (samples, data)]
    return found | {"kid": fid.kernel_distance(*features, num_subsets=KID_SUBSETS, max_subset_size=KID_SIZE)}


def torch_fidelity_way(samples: Path, data: Path) -> dict[str, float]:
    """Compute all metrics of torch-fidelity in one call."""
    import torch
    from torch_fidelity import calculate_metrics, register_feature_extractor
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    from tdbench.evaluation.efficientnet import load_efficientnet

    extractor = load_efficientnet()

    class EfficientNet(FeatureExtractorBase):
        """The extractor with the interface of torch-fidelity."""

        def __init__(self, name: str, features_list: list[str], **_: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, str]:
            return ("features", "logits")

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "logits" if metric == "isc" else "features"

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            features = extractor.extract(images)
            assert extractor.logits is not None
            both = {"features": features, "logits": extractor.logits(features)}
            return tuple(both[name] for name in self.features_list)

    register_feature_extractor(FEATURES, EfficientNet)
    return calculate_metrics(
        input1=str(samples),
        input2=str(data),
        cuda=False,
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        verbose=False,
        feature_extractor=FEATURES,
        batch_size=BATCH,
        kid_subsets=KID_SUBSETS,
        kid_subset_size=min(KID_SIZE, len(list(samples.iterdir()))),
        prc_batch_size=10_000,
        samples_find_deep=False,
    )


def our_way(samples: list[Path], data: Path) -> dict[str, Any]:
    """Do the work of `tdbench reference` and `tdbench evaluate` for every set; return the seconds of each set."""
    from benchmarks.subjects import default_plan
    from tdbench.evaluation.features import load_reference
    from tdbench.evaluation.scores import load_extractor, score_set, write_references
    from tdbench.experiment.run import Run
    from tdbench.records.layout import DatasetLayout
    from tdbench.records.schema import SampleSet
    from tdbench.records.stored import read_samples
    from tdbench.runtime.distributed import ALONE

    content = default_plan().run("edm-td-seed0").alone().model_dump(by_alias=True)
    content["evaluation"] |= {
        "features": FEATURES,
        "batch_size": BATCH,
        "kid_subsets": KID_SUBSETS,
        "kid_subset_size": min(KID_SIZE, len(read_samples(samples[0]))),
        "metrics": ["fid", "kid", "precision", "recall", "inception-score"],
        "bootstrap": 0,
    }
    content["sampling"]["images"] = len(read_samples(samples[0]))
    run, seconds, scores = Run.model_validate(content), [], {}
    with tempfile.TemporaryDirectory() as folder:
        files, begun = DatasetLayout(Path(folder), "data"), time.perf_counter()
        write_references(read_archive(data), FEATURES, BATCH, files, 1)
        for path in samples:
            names = run.evaluation.libraries
            extractors = {name: load_extractor(FEATURES, name, files) for name in names}
            references = {name: load_reference(files.reference(FEATURES, name)) for name in names}
            pixels = read_samples(path).transpose(0, 3, 1, 2).copy()
            last = run.scored_snapshots()[-1]
            entry = SampleSet.model_construct(snapshot_images=last, steps=4, nfe=7, sha256="0" * 64, file=path.name)
            rows = [row for _, part, _ in score_set(run, entry, pixels, extractors, references, ALONE) for row in part]
            scores = scores or {f"{row.library} {row.metric}": row.value for row in rows}
            seconds.append(time.perf_counter() - begun)
            begun = time.perf_counter()
    return {"seconds": seconds, "scores": scores}


WAYS = {
    "clean-fid": clean_fid_way,
    "torch-fidelity": torch_fidelity_way,
}


def _timed(*arguments: str) -> tuple[float, dict[str, Any]]:
    """Return the wall seconds of a process of this module on one core, start included, and its result."""
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    limits = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluation", "--way", *arguments],
        env=os.environ | limits,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    return time.perf_counter() - begun, json.loads(done.stdout.splitlines()[-1])


def compare(archive: Path, count: int) -> list[str]:
    """Measure and return the lines of the table.

    Raises
    ------
    TdbenchError
        If the archive has too few images.
    """
    whole = read_archive(archive)
    if len(whole.images) < 2 * count:
        raise TdbenchError(f"{archive}: {len(whole.images)} images; --images {count} needs {2 * count}")
    order = np.random.default_rng(0).permutation(len(whole.images))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, index in (("samples", order[:count]), ("data", order[count : 2 * count])):
            _as_folder(whole.images[index], folder / part)
            np.savez(folder / f"{part}.npz", arr_0=whole.images[index].transpose(0, 2, 3, 1))
        _as_archive(whole, order[count : 2 * count], folder / "data.zip")
        theirs = {way: _timed(way, str(folder / "samples"), str(folder / "data")) for way in WAYS}
        sets = [str(folder / "samples.npz")] * (1 + FURTHER)
        total, ours = _timed("ours", str(folder / "data.zip"), *sets)
    return table(count, theirs, total, ours)


def table(
    count: int, theirs: dict[str, tuple[float, dict[str, float]]], total: float, ours: dict[str, Any]
) -> list[str]:
    """Compare the measurements with the targets.

    Parameters
    ----------
    theirs : dict
        Library -> wall seconds of its process and its scores.
    total : float
        Wall seconds of the tdbench process; the time before its first set counts for that set.
    ours : dict
        Result of `our_way`.
    """
    first, *further = ours["seconds"]
    first += total - sum(ours["seconds"])
    both = sum(seconds for seconds, _ in theirs.values())
    rows = [
        ("reference and first set / theirs", AT_MOST["first"], first),
        ("a further set / theirs", AT_MOST["further"], float(np.mean(further))),
    ]
    lines = [f"{way}: {seconds:.0f} s, {found}" for way, (seconds, found) in theirs.items()]
    lines.append(f"ours: {total:.0f} s, {ours['scores']}")
    lines.append(f"{count} samples against {count} images, features {FEATURES}, one core; theirs together {both:.0f} s")
    for label, most, seconds in rows:
        verdict = "" if seconds <= most * both else ", missed"
        lines.append(
            f"{label}: {seconds / both:.3f} (1/{both / seconds:.1f}; at most {most:.3f}{verdict}), {seconds:.0f} s"
        )
    return lines


def _as_folder(images: np.ndarray, folder: Path) -> None:
    folder.mkdir()
    for i, image in enumerate(images.transpose(0, 2, 3, 1)):
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(folder / f"{i:06d}.png")


def _as_archive(whole: ImageSet, index: np.ndarray, path: Path) -> None:
    from tdbench.data.archive import write_archive

    write_archive(path, whole.images[index], None if whole.labels is None else whole.labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--way", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way:
        import torch

        torch.set_num_threads(1)
        way, *paths = chosen.way
        places = [Path(path) for path in paths]
        with torch.inference_mode():
            found = our_way(places[1:], places[0]) if way == "ours" else WAYS[way](*places)
        print(json.dumps(found))
        return
    if chosen.archive is None:
        parser.error("ARCHIVE is missing")
    try:
        print("\n".join(compare(chosen.archive, chosen.images)))
    except TdbenchError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
