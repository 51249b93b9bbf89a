"""Random numbers by name.

Every random part of a run (initial weights, data order, noise of a step, noise of a sampled image) has its own
generator. A hash of the run's seed and the part's name seeds it. Two runs with the same seed therefore share every
part that both have: a baseline and its TD twin start from the same weights, see the same images in the same order with
the same noise, and are sampled from the same latents. Keys may hold counters (step, epoch, image index), so a resume
does not need the state of any generator.
"""

import hashlib

import torch


def derive_seed(seed: int, *key: str | int) -> int:
    """Derive the seed of the part named by ``key``, a 63-bit integer, from the run's ``seed``."""
    text = "/".join(["tdbench", str(int(seed)), *map(str, key)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *key: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on ``device`` for the part named by ``key``."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *key))
