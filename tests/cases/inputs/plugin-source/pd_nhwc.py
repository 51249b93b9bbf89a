import numpy as np

from tdbench.data.archive import RawImages
from tdbench.data.sources import Source
from tdbench.plugins import register


def mine(path, resolution):
    return RawImages(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, int))


register("source", "mine")(Source(mine, "none", "", "none", None))
