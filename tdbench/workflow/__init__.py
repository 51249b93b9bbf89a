"""Functions that the Snakefile calls: files, batches, stages, resources and budgets."""
