"""Template for a data source: chequered 8x8 images of two classes.

To use it, copy this file beside your experiment file and add there: `plugins: [own_data.py]` and
`datasets: {checks: {source: checks}}`.
"""

from pathlib import Path

import numpy as np

from tdbench.data.raw import RawImages
from tdbench.data.sources import Nominal, Source
from tdbench.plugins import register


def read(path: Path | None, resolution: int | None) -> RawImages:
    """Return (N, C, H, W) uint8 images, C = 1 or 3, H = W, and their (N,) int64 classes. Change this function.

    `path` and `resolution` are those of the experiment file, None where it has none. Return None in place of the
    classes if there are none. The same call must return the same images: fix the seed.
    """
    source = np.random.default_rng(0)
    labels = np.arange(400) % 2  # here the class says how wide the squares are
    y, x = np.mgrid[:8, :8]
    board = np.stack([(x // width + y // width) % 2 for width in (1, 2)])[labels]
    light = source.integers(100, 256, size=(400, 1, 1))
    return RawImages((board * light).astype(np.uint8)[:, None], labels.astype(np.int64))


# path: "none", "optional" or "required"; wants: what the path leads to, for messages; resolution: the default, "none"
# (images keep their size) or "required". Nominal has resolution, channels, classes and images, so that `tdbench plan`
# can work before the data is there; use None if these depend on the path.
register("source", "checks")(Source(read, path="none", wants="", resolution="none", nominal=Nominal(8, 1, 2, 400)))
