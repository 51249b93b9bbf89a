"""Fixtures of the extractors that others trained."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from PIL import Image


@pytest.fixture(scope="module")
def as_evaluate_does() -> Iterator[None]:
    """Without gradients, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def photographs() -> np.ndarray:
    """Thirty-two crops of photographs, 32x32, in colour."""
    source = np.asarray(Image.open(Path(sklearn.__file__).parent / "datasets/images/china.jpg"))
    crops = [source[i * 50 : i * 50 + 32, j * 70 : j * 70 + 32] for i in range(4) for j in range(8)]
    return np.stack(crops).transpose(0, 3, 1, 2).copy()
