"""Measurements of tdbench itself.

`python -m benchmarks` measures speed, memory and rounding. Each figure is a ratio to a reference that runs in the same
process in alternation. docs/performance.md explains the figures.
"""
