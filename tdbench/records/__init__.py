"""Files on disk: where each one is, what stages write, and how it is read."""
