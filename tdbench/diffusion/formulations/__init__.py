"""Formulations, one file each: forward process, preconditioning, time grid and own loss."""

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.formulations.ct import CT
from tdbench.diffusion.formulations.ddpm import DDIM, DDPM
from tdbench.diffusion.formulations.edm import EDM
from tdbench.diffusion.formulations.ve import VE
from tdbench.diffusion.formulations.vp import VP

FORMULATIONS: dict[str, type[Formulation]] = {"ddpm": DDPM, "ddim": DDIM, "vp": VP, "ve": VE, "edm": EDM, "ct": CT}
"""kind -> class."""
