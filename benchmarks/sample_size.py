"""Dependence of FID and KID on the number of images.

    python -m benchmarks.sample_size [--draws 10] [--threads 1] [--json results/reference/fid/sample-size.json]

Half of the digits is the reference, and the samples come from the other half. Both have the same distribution, so a
score of quality alone would be zero for any number. The features are those of the default experiment.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tdbench.data.archive import read_archive, write_archive
from tdbench.data.sources import digits
from tdbench.evaluation import clean_fid, torch_fidelity
from tdbench.evaluation.classifier import load_classifier, train_classifier
from tdbench.evaluation.features import Statistics
from tdbench.evaluation.measure import fid_at_infinity
from tdbench.runtime.device import choose_device
from tdbench.runtime.files import write_json
from tdbench.runtime.provenance import provenance

SIZES = (100, 200, 400, 800)
KID_SUBSETS, BATCH = 50, 256


def features_of_digits(threads: int) -> np.ndarray:
    """Return (1797, D) float64 features of the digits from the classifier that the workflow trains."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, weights, report = (folder / file for file in ("digits.zip", "weights.safetensors", "report.json"))
        write_archive(archive, *digits(None))
        data = read_archive(archive)
        train_classifier(data, weights, report, threads)
        return clean_fid.features(data.images, load_classifier(weights, report), BATCH)


def scores_by_size(features: np.ndarray, sizes: tuple[int, ...], draws: int) -> list[dict[str, float]]:
    """Return mean and spread of FID, FID at infinity and KID for random sets of each size against the other half.

    Parameters
    ----------
    features : np.ndarray
        (N, D); the largest size is at most N/2.
    """
    source = np.random.default_rng(0)
    order = source.permutation(len(features))
    reference, rest = features[order[: len(order) // 2]], features[order[len(order) // 2 :]]
    statistics, rows = Statistics.of(reference), []
    for size in sizes:
        sets = [rest[source.choice(len(rest), size, replace=False)] for _ in range(draws)]
        found = {
            "fid": [torch_fidelity.fid(chosen, reference) for chosen in sets],
            "fid_infinity": [fid_at_infinity(chosen, statistics) for chosen in sets],
            "kid": [torch_fidelity.kid(chosen, reference, KID_SUBSETS, size // 2) for chosen in sets],
        }
        spread = {f"{name}_std": float(np.std(values, ddof=1)) for name, values in found.items()}
        rows.append({"images": size} | {name: float(np.mean(values)) for name, values in found.items()} | spread)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sample_size", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--draws", type=int, default=10, help="number of random sets of each size")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--json", type=Path, help="write the figures to this file, for docs/fid.md")
    given = parser.parse_args()
    choose_device("cpu", given.threads)
    rows = scores_by_size(features_of_digits(given.threads), SIZES, given.draws)
    names = {"fid": "FID", "fid_infinity": "FID at infinity", "kid": "KID"}
    cells = [[row["images"], *(f"{row[name]:.3g} ± {row[f'{name}_std']:.2g}" for name in names)] for row in rows]
    if given.json is not None:
        write_json(given.json, {"provenance": provenance(), "draws": given.draws, "rows": rows})
    print(tabulate(cells, ["images", *names.values()], tablefmt="github"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
