"""Are samples copies of training images? The nearest ones, by the features that score them."""

import numpy as np
import torch
from torch import Tensor

from tdbench.records.schema import Nearest, Pair
from tdbench.seeds import generator

SAMPLES, QUERIES, SHOWN = 1000, 2000, 10
"""Samples that are looked at, images of the data that say what is near, and pairs that are kept for a picture."""
NEAR = 0.01
"""Near is what this share of the data's images is to another one."""
_CHUNK = 500


def nearest_in_data(samples: np.ndarray, data: np.ndarray, snapshot_images: int, steps: int) -> Nearest:
    """Distances of samples to images of the data set, compared with distances between those images.

    Samples of the very distribution of the data lie within ``threshold`` of one of its images about as often as its
    images do of another one, `NEAR`; a network that repeats its training images, much more often.

    Parameters
    ----------
    samples, data : np.ndarray
        (N, D) and (M, D) features; of the samples the first `SAMPLES` are looked at.
    snapshot_images, steps : int
        Of the sample set: images shown at its snapshot, and its step budget.

    Returns
    -------
    Nearest
        ``share`` of the samples within ``threshold``, the `NEAR` quantile of the distances in the data from image to
        nearest other image; numbers of ``samples`` and ``queries``; and ``pairs``, the nearest ones: ``sample``,
        ``image`` and their ``distance``, each sample and each image once.
    """
    looked = torch.from_numpy(samples[:SAMPLES])
    images = torch.from_numpy(data)
    chosen = torch.randperm(len(images), generator=generator(0, "memorisation"))[:QUERIES]
    among, _ = _nearest(images[chosen], images, own=chosen)
    threshold = float(torch.quantile(among, NEAR))
    distances, which = _nearest(looked, images)
    return Nearest(
        snapshot_images=snapshot_images,
        steps=steps,
        share=float((distances <= threshold).double().mean()),
        threshold=threshold,
        samples=len(looked),
        queries=len(chosen),
        pairs=_pairs(distances, which),
    )


def _nearest(queries: Tensor, images: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distance (N,) and index (N,) of each query's nearest image, not counting the one at its ``own`` index."""
    which = []
    for start in range(0, len(queries), _CHUNK):
        distance = torch.cdist(queries[start : start + _CHUNK], images)
        if own is not None:
            distance.scatter_(1, own[start : start + _CHUNK, None], torch.inf)
        which.append(distance.argmin(dim=1))
    nearest = torch.cat(which)
    # cdist goes by products and leaves 1e-8 where there is nothing.
    return (queries - images[nearest]).norm(dim=1), nearest


def _pairs(distances: Tensor, which: Tensor) -> list[Pair]:
    pairs: dict[int, Pair] = {}
    for sample in distances.argsort().tolist():
        image = int(which[sample])
        # Ten samples near one image would show one thing ten times.
        pairs.setdefault(image, Pair(sample=sample, image=image, distance=float(distances[sample])))
        if len(pairs) == SHOWN:
            break
    return list(pairs.values())
