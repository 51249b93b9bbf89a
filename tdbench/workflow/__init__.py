"""What the Snakefile asks: files, batches, stages, resources and budgets."""
