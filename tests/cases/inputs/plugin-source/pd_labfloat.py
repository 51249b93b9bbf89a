import numpy as np

from tdbench.data.archive import RawImages
from tdbench.data.sources import Source
from tdbench.plugins import register


def mine(path, resolution):
    return RawImages(np.zeros((4, 3, 8, 8), np.uint8), np.array([0.9, 1.2, 0.1, 1.9]))


register("source", "mine")(Source(mine, "none", "", "none", None))
