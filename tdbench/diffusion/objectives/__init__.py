"""The objectives by kind."""

from tdbench.diffusion.objectives.base import Baseline, Objective
from tdbench.diffusion.objectives.td import TD

OBJECTIVES: dict[str, type[Objective]] = {"baseline": Baseline, "td": TD}
"""kind -> class."""
