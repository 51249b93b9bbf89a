"""Scores with a known order: real images compared with images of the same kind and with damaged ones.

    python -m benchmarks.known_answers ARCHIVE [--images 2000] [--threads 1] [--json FILE]

Two disjoint random parts of an archive must be close. Noise, blur and dropped classes must increase the distance, more
damage more so. Both libraries must rank everything alike. The features are those of `efficientnet-lite0`, whose weights
need no download. ARCHIVE is a zip in EDM's format, or one from `tdbench data`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from tdbench.data.archive import ImageSet, read_archive
from tdbench.errors import TdbenchError
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.efficientnet import load_efficientnet
from tdbench.runtime.device import choose_device
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import progress
from tdbench.runtime.provenance import provenance

BATCH, KID_SUBSETS, SEED = 250, 50, 0


def spoilt(data: ImageSet, rest: np.ndarray, count: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Return kind of damage -> (name, images) in rising degree, made from the images that ``rest`` indexes."""
    rng = np.random.default_rng(SEED)
    images = data.images[rest[:count]]
    noise = rng.standard_normal(images.shape)
    kinds = {
        "noise": [
            (f"noise, standard deviation {s}", np.clip(images + s * noise, 0, 255).round().astype(np.uint8))
            for s in (5, 15, 40)
        ],
        "blur": [(f"blur, sigma {s:g}", _blurred(images, s)) for s in (0.6, 0.9, 1.5)],
    }
    if data.labels is not None:
        labels, classes = data.labels[rest], data.num_classes
        keep = [n for n in (classes * 4 // 5, classes // 2, classes // 5) if (labels < n).sum() >= count]
        kinds["classes"] = [(f"{n} of {classes} classes", data.images[rest[labels < n][:count]]) for n in keep]
    return kinds


def _blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    blurred: Tensor = gaussian_blur(torch.from_numpy(images), [7, 7], [sigma, sigma])
    return blurred.numpy()


@torch.no_grad()
def measure(path: Path, count: int) -> tuple[list[tuple[str, dict[str, float]]], list[str]]:
    """Return FID and KID of each set by each library, and the violations of the expected order.

    Raises
    ------
    TdbenchError
        If the archive has too few images.
    """
    data, extractor = read_archive(path), load_efficientnet()
    order = np.random.default_rng(SEED).permutation(len(data.images))
    first, rest = order[:count], order[count:]
    kinds = spoilt(data, rest, count) if len(rest) >= count else {}
    if not kinds:
        raise TdbenchError(f"{path}: has {len(data.images)} images, but --images {count} needs {2 * count}")
    sets = [("the other half", data.images[rest[:count]]), *(entry for kind in kinds.values() for entry in kind)]
    rows: list[tuple[str, dict[str, float]]] = []
    with progress("features", (len(sets) + 1) * count, "img") as bar:

        def features(images: np.ndarray) -> np.ndarray:
            found = clean_fid.features(images, extractor, BATCH)
            bar.update(len(images))
            return found

        reference = features(data.images[first])
        for name, images in sets:
            found, row = features(images), {}
            for library in (clean_fid, torch_fidelity):
                row[f"FID, {library.NAME}"] = library.fid(found, reference)
                row[f"KID, {library.NAME}"] = library.kid(found, reference, KID_SUBSETS, count // 2)
            rows.append((name, row))
    return rows, out_of_order(rows, kinds)


def out_of_order(rows: list[tuple[str, dict[str, float]]], kinds: dict[str, list[tuple[str, np.ndarray]]]) -> list[str]:
    """Return the violations of the expected order, one line each."""
    wrong, scores = [], dict(rows)
    for column in rows[0][1]:
        for kind, entries in kinds.items():
            values = [scores["the other half"][column], *(scores[name][column] for name, _ in entries)]
            if values != sorted(values):
                wrong.append(f"{column}: {kind} does not grow: {values}")
    for metric in ("FID", "KID"):
        ranks = [
            sorted(scores, key=lambda name: scores[name][f"{metric}, {library.NAME}"])
            for library in (clean_fid, torch_fidelity)
        ]
        if ranks[0] != ranks[1]:
            wrong.append(f"{metric}: the libraries rank differently: {ranks[0]}, {ranks[1]}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.known_answers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=2000, help="images per set (features have 1,280 dimensions)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file, for docs/fid.md")
    chosen = parser.parse_args()
    choose_device("cpu", chosen.threads)
    try:
        rows, wrong = measure(chosen.archive, chosen.images)
    except TdbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if chosen.json is not None:
        content = [{"set": name} | row for name, row in rows]
        data = sha256(chosen.archive)
        write_json(chosen.json, {"provenance": provenance(), "data": data, "images": chosen.images, "rows": content})
    columns = list(rows[0][1])
    print(f"| {chosen.images} images against | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for name, row in rows:
        print(f"| {name} | {' | '.join(f'{row[column]:.5g}' for column in columns)} |")
    print("\n".join(wrong) if wrong else "\nIn the order that they have to be, by both libraries.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
