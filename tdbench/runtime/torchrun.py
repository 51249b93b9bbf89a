"""Rank and number of processes from torchrun's environment variables, without importing torch."""

import os


def rank() -> int:
    """Return the rank of this process, from 0; rank 0 is the leader, which writes and prints."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Return the number of processes on all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))
