"""Weights of networks that others trained, read so that nothing in the file can run."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tdbench.errors import TdbenchError


def read_state(path: Path, remedy: str) -> dict[str, Tensor]:
    """A file of weights, in safetensors' format by its suffix or in torch's, read as weights only.

    Raises
    ------
    TdbenchError
        If it is missing or damaged; ends with ``remedy``.
    """
    try:
        state: dict[str, Tensor] = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # torch and zipfile raise many kinds for damaged files
        raise damaged_weights(path, error, remedy) from error
    return state


def read_weights(path: Path, network: nn.Module, remedy: str) -> None:
    """Load a file of weights, with the same keys and shapes, into ``network``; raises as `read_state` does."""
    state = read_state(path, remedy)
    try:
        network.load_state_dict(state)
    except Exception as error:  # other keys, other shapes, no dictionary at all
        raise damaged_weights(path, error, remedy) from error


def damaged_weights(path: Path, error: Exception, remedy: str) -> TdbenchError:
    """One line, where torch gives many."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return TdbenchError(f"{path}: no readable weights ({said}); {remedy}")
