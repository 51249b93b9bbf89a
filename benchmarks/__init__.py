"""Figures of speed, memory and rounding, each a ratio to a reference that ran in the same process in alternation.

`python -m benchmarks` measures all of them; docs/performance.md says what each means.
"""
