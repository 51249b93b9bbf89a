"""Training: the loop, averages of weights (`ema`), metrics and snapshots."""
