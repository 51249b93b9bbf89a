"""Where a user's plug-in imports `register` from; `tdbench.experiment.plugins` describes it."""

from tdbench.experiment.plugins import register

__all__ = ["register"]
