"""Plug-ins import `register` from here; `tdbench.experiment.plugins` describes it."""

from tdbench.experiment.plugins import register

__all__ = ["register"]
