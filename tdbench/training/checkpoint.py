"""Checkpoints: everything that a training needs to resume as if it had not stopped.

A checkpoint is one safetensors file: tensors, and the facts about them as JSON. Its name ends in the SHA-256 of its
content, so that any changed, missing or added byte shows. It is written beside its place, synchronised and renamed, and
the previous one is kept until the next: at any moment one of the two is intact.

No generator's state is in it: every random number of a step comes from a generator that the run's seed, the part's name
and the step determine (`tdbench.seeds`), and so does the order of the images.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tdbench.errors import TdbenchError
from tdbench.records.schema import CheckpointFacts, Settings, checked_record
from tdbench.runtime.files import checksummed_path, sha256
from tdbench.runtime.progress import say

KEPT = 2
_NAME = re.compile(r"(\d+)-([0-9a-f]{64})\.safetensors")


class Identity(NamedTuple):
    """What makes a checkpoint one of a training."""

    settings: Settings
    """`Run.training_settings`."""
    data: str
    """SHA-256 of the archive."""
    distance_weights: str | None
    """SHA-256 of the weights of the distance, where the formulation's needs some."""

    def known(self) -> Settings:
        """What of it a training has, by name."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@dataclass(frozen=True)
class Checkpoint:
    """An intact checkpoint: its path and the facts in it."""

    path: Path
    facts: CheckpointFacts

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The checkpoint at ``path``, its bytes compared with its name.

        Raises
        ------
        OSError, ValueError, LookupError, RecursionError, SafetensorError
            If it is damaged.
        """
        matched = _NAME.fullmatch(path.name)
        found, expected = sha256(path), matched[2] if matched else "another name"
        if found != expected:
            raise ValueError(f"{path.stat().st_size} bytes with sha256 {found[:16]}, expected {expected[:16]}")
        with safe_open(path, framework="pt") as content:
            said = json.loads((content.metadata() or {})["tdbench"])
        return cls(path, checked_record("what it says of itself", said, None, CheckpointFacts))

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name, on the CPU."""
        with safe_open(self.path, framework="pt") as content:
            return {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118, not a dict


def save_checkpoint(folder: Path, images: int, tensors: Mapping[str, Tensor], facts: CheckpointFacts) -> Path:
    """Write a checkpoint after ``images`` images and remove those before the previous one.

    Raises
    ------
    TdbenchError
        If it cannot be written; the checkpoints before it stay.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with checksummed_path(folder, f"{images:012d}-", ".safetensors") as temporary:
        save_file(content, temporary, metadata={"tdbench": json.dumps(facts.to_json(), sort_keys=True)})
    found = _by_age(folder)
    for path in found[KEPT:]:
        path.unlink(missing_ok=True)
    return found[0]


def find_checkpoint(
    folder: Path, wanted: Identity, objection: Callable[[CheckpointFacts], str | None]
) -> Checkpoint | None:
    """The newest checkpoint that is intact and fits; prints why newer ones are not used.

    Parameters
    ----------
    wanted : Identity
        Of the training that is to resume.
    objection : callable
        Facts -> what else speaks against it, or None.
    """
    for path in _by_age(folder):
        try:
            checkpoint = Checkpoint.opened(path)
        except (OSError, ValueError, LookupError, RecursionError, SafetensorError, TdbenchError) as error:
            say(f"{path}: damaged checkpoint ({error}), not used; trying the previous one")
            continue
        differing = [key for key, value in wanted.known().items() if getattr(checkpoint.facts, key) != value]
        reason = f"it is of other {' and '.join(differing)}" if differing else objection(checkpoint.facts)
        if reason is None:
            return checkpoint
        say(f"{path}: checkpoint not used: {reason}")
    return None


def keep_only(folder: Path, kept: Path | None) -> None:
    """Remove all checkpoints but one, or all: those not used, and partial files of a killed process."""
    if folder.is_dir():
        for path in folder.iterdir():
            if path != kept:
                path.unlink(missing_ok=True)
        if kept is None:
            folder.rmdir()


def _by_age(folder: Path) -> list[Path]:
    """The newest first."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: path.name, reverse=True)
