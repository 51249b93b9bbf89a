"""Simulates the time of an experiment on more GPUs, and measures the overhead of Snakemake.

`python -m benchmarks.scaling` writes docs/scaling.md, which says what is computed, counted and assumed. Snakemake's own
scheduler runs the real Snakefile, so graph, order and resources of jobs are real. Only the executor is
simulated (`executor.py`): jobs last as long as `costs.py` says, and a clock jumps from the end of one job to the next.
"""
