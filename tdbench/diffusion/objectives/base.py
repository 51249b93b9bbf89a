"""What is minimised: the interface of an objective, and the formulation's own as the baseline."""

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from tdbench.diffusion.formulations.base import SCHEDULE_POINTS, Estimates, Formulation, Losses, Noise
from tdbench.diffusion.objectives.targets import Target, TargetOwn
from tdbench.diffusion.preconditioning import BACKWARD, FORWARD, Condition, DenoiserCall
from tdbench.settings import Parameters


class Objective(Parameters):
    """A training objective on top of a formulation.

    A new one is a subclass with a ``kind`` of its own, registered in `objectives.OBJECTIVES`; its fields
    are what the experiment file may set.
    """

    kind: str

    def resolved(self, formulation: Formulation) -> "Objective":
        """The objective with every setting explicit for that formulation.

        Raises
        ------
        ValueError
            If the formulation does not have what a setting asks for.
        """
        return self

    def at(self, fraction: float) -> "Objective":
        """The objective at a share of training in [0, 1): itself, unless it changes over training."""
        return self

    @property
    def length_dependence(self) -> str | None:
        """What depends on the length of training, or None; as `Formulation.length_dependence`."""
        shares = [i / SCHEDULE_POINTS for i in range(SCHEDULE_POINTS)]
        if any(self.at(share) != self.at(0.0) for share in shares):
            return f"the schedule of objective {self.kind} depends on the length of training"
        return None

    def target_rule(self, formulation: Formulation) -> Target | None:
        """How the target network follows, or None where none is needed."""
        return TargetOwn() if formulation.own_target else None

    def expected_passes(self, formulation: Formulation, images: int) -> float:
        """Expected passes of images through both networks in one step, mean over training: 1 forward, 2 backward.

        Here: every image forward and backward through the network, and forward through the target if there is one. An
        objective that evaluates networks differently overrides this. It decides how long the baseline is trained for
        the comparison at equal passes; reports count the passes of the trainings.

        Parameters
        ----------
        images : int
            Images of the batch, or of the part of it that goes through the network at once.
        """
        target = FORWARD * (self.target_rule(formulation) is not None)
        return float(images * (FORWARD + BACKWARD + target))

    @abstractmethod
    def losses(
        self,
        denoiser: DenoiserCall,
        target: DenoiserCall | None,
        formulation: Formulation,
        x0: Tensor,
        condition: Condition,
        noise: Noise,
    ) -> Losses:
        """Losses of a batch.

        Parameters
        ----------
        denoiser, target : callable
            (x, t, condition) -> estimate of x0; the target network where `target_rule` gives one.
        formulation : Formulation
            As it is at this moment of training, as the objective is itself (`at`).
        x0 : Tensor
            (N, C, H, W) images.
        noise : Noise
            The draws of the batch; those of a baseline and its twins are the same.
        """


class Baseline(Objective):
    """The formulation's own objective."""

    kind: Literal["baseline"] = "baseline"

    def losses(
        self,
        denoiser: DenoiserCall,
        target: DenoiserCall | None,
        formulation: Formulation,
        x0: Tensor,
        condition: Condition,
        noise: Noise,
    ) -> Losses:
        t = formulation.sample_time(noise.time)
        level = formulation.level(t).like(x0)
        x_t = level.alpha * x0 + level.sigma * noise.image
        denoised_prime = t_prime = None
        if formulation.own_target:
            if target is None:
                raise ValueError(f"the loss of {formulation.kind} needs a target network")
            t_prime = formulation.pair_times(t, 1, 1).t_prime
            level_prime = formulation.level(t_prime).like(x0)
            with torch.no_grad():
                x_prime = level_prime.alpha * x0 + level_prime.sigma * noise.image
                # Before the network, as in the temporal difference: the memory of this pass is free again by then.
                denoised_prime = target(x_prime, t_prime, condition)
        denoised = denoiser(x_t, t, condition)
        base = formulation.base_loss(Estimates(x0, denoised, t, denoised_prime, t_prime))
        return Losses(base, base, torch.zeros_like(base), torch.zeros(len(base), dtype=torch.bool))
