import numpy as np

from tdbench.data.archive import RawImages
from tdbench.data.sources import Source
from tdbench.plugins import register


def mine(path, resolution):
    return RawImages(np.full((4, 3, 8, 8), 0.5, np.float32), np.zeros(4, int))


register("source", "mine")(Source(mine, "none", "", "none", None))
