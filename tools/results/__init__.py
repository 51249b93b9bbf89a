"""Writes the figures in README and docs from the reference results; `python -m tools.results --help` has more."""
