"""How long an experiment takes on more GPUs, simulated, and what Snakemake itself takes of it, measured.

`python -m benchmarks.scaling` writes docs/scaling.md, which says what is computed, counted and assumed. The graph of
jobs, their order and their resources are Snakemake's own: the real Snakefile goes through its real scheduler, with an
executor whose jobs last as long as `costs.py` says, by a clock that jumps from one end of a job to the next
(`executor.py`).
"""
