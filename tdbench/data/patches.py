"""Source ``patches``: small crops of the two photographs that scikit-learn ships, natural images without a download.

They are ``china.jpg`` by danielbuechele and ``flower.jpg`` by vultilion, both under CC BY 2.0. Neighbouring crops
overlap, so that the 50,000 are not as many independent images.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from tdbench.data.raw import RawImages
from tdbench.seeds import derive_seed

SIDE, COUNT = 8, 50_000
"""Width and height of a crop in pixels, and how many there are."""


def read_patches() -> RawImages:
    """Crops at random places, as many of each photograph, no place twice: (50,000, 3, 8, 8) without labels.

    Each photograph is halved first: at its own size neighbouring pixels are nearly equal.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images().images
    source = np.random.default_rng(derive_seed(0, "patches"))
    found = []
    for photograph in photographs:
        halved = np.asarray(Image.fromarray(photograph).reduce(2))
        # (rows, columns, 3, SIDE, SIDE): every crop there is, without a copy.
        crops = sliding_window_view(halved, (SIDE, SIDE), axis=(0, 1))
        rows, columns = crops.shape[:2]
        chosen = source.choice(rows * columns, COUNT // len(photographs), replace=False)
        found.append(crops[chosen // columns, chosen % columns])
    return RawImages(np.ascontiguousarray(np.concatenate(found)), None)
