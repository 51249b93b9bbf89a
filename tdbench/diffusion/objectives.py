"""The objectives by kind."""

from tdbench.diffusion.objective import Baseline, Objective
from tdbench.diffusion.td import TD

OBJECTIVES: dict[str, type[Objective]] = {"baseline": Baseline, "td": TD}
"""kind -> class."""
