"""Weights of networks: written as safetensors, and read without executing code from the file."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tdbench.errors import TdbenchError
from tdbench.records.schema import NetworksEntry, SnapshotEntry
from tdbench.runtime import advice
from tdbench.runtime.files import atomic_path, sha256


def read_state(path: Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a file of weights: safetensors if its suffix says so, otherwise torch's format, weights only.

    Raises
    ------
    TdbenchError
        If it is missing or damaged; the message ends with ``remedy``.
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
    """Load a file of weights with the same keys and shapes into ``network``; raises like `read_state`."""
    state = read_state(path, remedy)
    try:
        network.load_state_dict(state)
    except Exception as error:  # other keys, other shapes, no dictionary at all
        raise damaged_weights(path, error, remedy) from error


def damaged_weights(path: Path, error: Exception, remedy: str) -> TdbenchError:
    """An error with the first line of ``error`` only, because torch's messages have many."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return TdbenchError(f"{path}: no readable weights ({said}); {remedy}")


def save_snapshot(path: Path, network: nn.Module, facts: Mapping[str, int | str]) -> str:
    """Write a network's weights, with ``facts`` as JSON; returns the file's SHA-256.

    The same weights and facts give the same bytes.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic_path(path) as temporary:
        # One entry only, because safetensors writes several entries in no fixed order.
        save_file(weights, temporary, metadata={"tdbench": json.dumps(facts, sort_keys=True)})
    return sha256(path)


def save_networks(path: Path, networks: Mapping[str, nn.Module]) -> str:
    """Write the weights of several networks as ``NAME/KEY``; returns the file's SHA-256."""
    weights = {
        f"{name}/{key}": tensor.detach().cpu().contiguous()
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(weights, temporary)
    return sha256(path)


def load_networks(path: Path, networks: Mapping[str, nn.Module], made_by: str) -> None:
    """Load what `save_networks` wrote into networks of the same architecture; raises like `load_snapshot`."""
    remedy = advice.again(made_by)
    state = read_state(path, remedy)
    for name, network in networks.items():
        try:
            network.load_state_dict(
                {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}
            )
        except Exception as error:  # other keys or shapes
            raise damaged_weights(path, error, remedy) from error


def load_snapshot(path: Path, network: nn.Module, made_by: str | None = None) -> None:
    """Load weights into a network of the same architecture; ``made_by`` is the command that writes them.

    Raises
    ------
    TdbenchError
        If the file is missing, damaged or of another architecture.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise TdbenchError(f"{path}: no such snapshot; {advice.again(made_by)}") from error
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TdbenchError(f"{path}: holds weights of another architecture than the experiment's ({reason})") from error
    except Exception as error:  # safetensors raises its own kinds, and built-in ones for unknown dtypes
        raise TdbenchError(f"{path}: damaged snapshot ({error}); {advice.again(made_by)}") from error


def check_snapshot(path: Path, entry: SnapshotEntry | NetworksEntry, made_by: str) -> None:
    """Compare the checksum of a file of weights with its entry in snapshots.json.

    ``made_by`` is the command that writes it, for messages.

    Raises
    ------
    TdbenchError
        If the file is missing or has another checksum.
    """
    found = sha256(path) if path.exists() else "missing"
    if found != entry.sha256:
        raise TdbenchError(
            f"{path}: sha256 {found[:16]}, expected {entry.sha256[:16]}; "
            f"the weights changed since their training: run `{made_by}` again"
        )
