"""Which of several processes this is, as torchrun tells it through the environment; known without importing torch."""

import os


def rank() -> int:
    """From 0; the first process is the leader, which writes and talks."""
    return int(os.environ.get("RANK", "0"))


def process_count() -> int:
    """Of all machines together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))
