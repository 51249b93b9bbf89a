"""Sampling the snapshots of a run, and what is measured while it is done."""
