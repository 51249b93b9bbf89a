"""Scores of samples: features, and the two libraries that compare their distributions."""
