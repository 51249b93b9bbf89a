"""An experiment's results as an RO-Crate: `tdbench export` packs them, `tdbench check-crate` verifies them.

A crate is laid out as a results folder is, so that `tdbench compare` takes it for one, with a description of every file
and of how it came to be in ro-crate-metadata.json.
"""

METADATA = "ro-crate-metadata.json"
EXPERIMENT = "experiment.yaml"
WRITTEN = "experiment-as-written.yaml"
"""Beside it, where it was changed to read the data that are in the crate."""
RESOLVED = "resolved.json"
README = "README.md"
SOFTWARE = "software"
"""Folder of what runs the experiment: the workflow and the locked versions."""
