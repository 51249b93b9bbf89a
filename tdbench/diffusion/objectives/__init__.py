"""Base objectives, one file a formulation.

`AnyFormulation` is where a formulation is registered: the second one makes it a union, told apart by ``kind``.
"""

from tdbench.diffusion.objectives.edm import EDM

AnyFormulation = EDM
