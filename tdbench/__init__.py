"""tdbench: does temporal-difference training improve a diffusion model, by how much, at what cost?"""

__version__ = "0.1.0"
