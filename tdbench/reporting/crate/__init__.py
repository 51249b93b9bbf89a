"""An experiment's results as an RO-Crate: `tdbench export` packs them, `tdbench check-crate` verifies them.

A crate has the layout of a results folder, so that `tdbench compare` accepts it. ro-crate-metadata.json describes every
file and how it was made.
"""

METADATA = "ro-crate-metadata.json"
EXPERIMENT = "experiment.yaml"
WRITTEN = "experiment-as-written.yaml"
"""The original experiment file, if `EXPERIMENT` was changed to read the data in the crate."""
RESOLVED = "resolved.json"
README = "README.md"
SOFTWARE = "software"
"""Folder of the workflow and the locked versions."""
