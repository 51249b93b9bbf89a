"""Measurements of tdbench itself, each a program: ``python -m benchmarks.NAME``."""
