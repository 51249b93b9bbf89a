"""Scores of samples: features, and the two libraries that compare their distributions.

The names stand here, apart from what they name, so that an experiment can be checked without waiting
for torch's and the libraries' imports.
"""

LIBRARIES = ("clean-fid", "torch-fidelity")
FEATURES = ("classifier", "efficientnet-lite0", "inception")
