"""Pictures of samples."""

from pathlib import Path

import numpy as np
from PIL import Image

from tdbench.runtime.files import atomic_path

GRID_COLUMNS, GRID_ROWS, GRID_SCALE_TO = 10, 6, 32


def tile(pixels: np.ndarray, columns: int = GRID_COLUMNS, rows: int = GRID_ROWS) -> Image.Image:
    """A picture of the first images (N, H, W, C), small ones enlarged without smoothing."""
    shown = pixels[: columns * rows]
    scale = max(1, GRID_SCALE_TO // shown.shape[1])
    shown = shown.repeat(scale, axis=1).repeat(scale, axis=2)
    n, h, w, c = shown.shape
    canvas = np.full((-(-n // columns) * (h + 2), columns * (w + 2), c), 128, dtype=np.uint8)
    for i, image in enumerate(shown):
        top, left = i // columns * (h + 2) + 1, i % columns * (w + 2) + 1
        canvas[top : top + h, left : left + w] = image
    return Image.fromarray(canvas[..., 0] if c == 1 else canvas)


def save_grid(path: Path, pixels: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        tile(pixels).save(temporary)
