"""What lies on disk: where every file is, what stages write, and reading it."""
