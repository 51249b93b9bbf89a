"""The objectives by kind."""

from tdbench.diffusion.objectives.base import Baseline, Objective
from tdbench.diffusion.objectives.td import TDSettings

OBJECTIVES: dict[str, type[Objective]] = {"baseline": Baseline, "td": TDSettings}
"""kind -> class."""
