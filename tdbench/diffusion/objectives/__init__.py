"""Base objectives, one file a formulation; `FORMULATIONS` is where a new one is registered."""

from tdbench.diffusion.objectives.edm import EDM

FORMULATIONS = {"edm": EDM}
