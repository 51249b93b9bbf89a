"""Measurements of tdbench itself.

`python -m benchmarks` gives figures of speed, memory and rounding, each a ratio to a reference that ran in the same
process in alternation; docs/performance.md says what each means.
"""
