"""Samplers: from noise to images at a given budget of steps.

Every process is sampled in the variables x / alpha and sigma / alpha, in which the probability-flow ODE of
all of them is the same: d(x/alpha) / d(sigma/alpha) = (x/alpha - D) / (sigma/alpha) (Song, Meng & Ermon 2021,
eq. 14; Karras et al. 2022, eq. 1 for alpha = 1). In the equations below x and s stand for these two. The path's
arithmetic is float64, the network's its own. Times and levels stay on the CPU: a single number meets images on a GPU
without a wait, and a decision about it needs none.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.preconditioning import UNCONDITIONAL, Condition, CountingDenoiser, DenoiserCall
from tdbench.settings import Parameters

FreshNoise = Callable[[], Tensor]
"""Gives (N, C, H, W) standard normal noise, another one at every call."""


class Path:
    """The times of a sampler with its budget, and the denoiser along them.

    Attributes
    ----------
    times : Tensor
        (num_steps,) float64, falling; on the CPU, as `ratios` are.
    ratios : Tensor
        (num_steps + 1,) float64: sigma / alpha at the times, then 0 for the data.
    smallest : float
        sigma / alpha at the last time of the grid.
    """

    def __init__(
        self,
        denoiser: DenoiserCall,
        formulation: Formulation,
        condition: Condition,
        times: Tensor,
        noise: Tensor,
        clip: bool,
    ) -> None:
        self._denoiser, self._formulation, self._condition = denoiser, formulation, condition
        self._dtype, self._clip = noise.dtype, clip
        self.times = times
        self._levels = formulation.level(times)
        ratios = self._levels.sigma / self._levels.alpha
        self.ratios = torch.cat([ratios, torch.zeros_like(ratios[:1])])
        nearest = formulation.level(formulation.grid.times(2)[1:])
        self.smallest = float(nearest.sigma / nearest.alpha)
        # The process at its noisiest time holds next to nothing of the data: pure noise stands for it.
        self.start = noise.to(torch.float64) * self.ratios[0]

    def estimate(self, x: Tensor, step: int) -> Tensor:
        """D at the time of ``step``, for ``x`` divided by alpha; float64."""
        return self._denoise(x, self.times[step], self._levels.alpha[step])

    def estimate_at(self, x: Tensor, ratio: Tensor) -> Tensor:
        """D where sigma / alpha is ``ratio``, which need not be on the path; for continuous processes."""
        time = self._formulation.time_of(ratio)
        return self._denoise(x, time, self._formulation.level(time).alpha)

    def _denoise(self, x: Tensor, time: Tensor, alpha: Tensor) -> Tensor:
        found = self._denoiser((alpha * x).to(self._dtype), time.view(1, 1, 1, 1), self._condition)
        found = found.to(torch.float64)
        return found.clamp(-1, 1) if self._clip else found


class Sampler(Parameters):
    """A sampler with its settings.

    A new one is a subclass with a ``kind`` of its own, registered in `SAMPLERS`; its fields are what the
    experiment file may set.
    """

    kind: str
    clip: Annotated[bool, Field(description="clip every estimate of x0 to [-1, 1]")] = False

    between_steps: ClassVar[bool] = False
    """Whether it evaluates the network at times off the grid, which a discrete process does not have."""

    @torch.no_grad()
    def sample(
        self,
        denoiser: DenoiserCall,
        noise: Tensor,
        condition: Condition,
        formulation: Formulation,
        num_steps: int,
        fresh: FreshNoise,
    ) -> Tensor:
        """Images from noise.

        Parameters
        ----------
        denoiser : callable
            (x, t, condition) -> estimate of x0.
        noise : Tensor
            (N, C, H, W), standard normal.
        condition : Condition
        formulation : Formulation
            Gives levels and the times of the budget.
        num_steps : int
            Step budget, at least 1.
        fresh : callable
            Further noise, for samplers that add some.

        Returns
        -------
        Tensor
            (N, C, H, W) images, nominally in [-1, 1], float64.
        """
        path = Path(denoiser, formulation, condition, self.times(formulation, num_steps), noise, self.clip)
        return self.walk(path, fresh)

    def times(self, formulation: Formulation, num_steps: int) -> Tensor:
        """The times of a budget, (num_steps,) float64; the grid's own."""
        return formulation.grid.times(num_steps)

    @abstractmethod
    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        """From ``path.start`` to the data, in x / alpha, float64."""


class Euler(Sampler):
    """Euler's method, order 1; one network evaluation a step."""

    kind: Literal["euler"] = "euler"

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        x, s = path.start, path.ratios
        for i in range(len(path.times)):
            # x_{i+1} = x_i + (s_{i+1} - s_i) d_i,  d_i = (x_i - D(x_i)) / s_i
            slope = (x - path.estimate(x, i)) / s[i]
            x = x + (s[i + 1] - s[i]) * slope
        return x


class Heun(Sampler):
    """EDM's deterministic sampler, order 2 (Karras et al. 2022, alg. 1).

    Two network evaluations a step but the last, to sigma = 0, which has no correction.
    """

    kind: Literal["heun"] = "heun"

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        x, s, last = path.start, path.ratios, len(path.times) - 1
        for i in range(last + 1):
            # Euler: x' = x_i + (s_{i+1} - s_i) d_i,  d_i = (x_i - D(x_i)) / s_i
            slope = (x - path.estimate(x, i)) / s[i]
            euler = x + (s[i + 1] - s[i]) * slope
            if i == last:
                return euler
            # Correction: x_{i+1} = x_i + (s_{i+1} - s_i) (d_i + d') / 2,  d' = (x' - D(x')) / s_{i+1}
            ahead = (euler - path.estimate(euler, i + 1)) / s[i + 1]
            x = x + (s[i + 1] - s[i]) * 0.5 * (slope + ahead)
        return x


class Churn(Sampler):
    """EDM's stochastic sampler (Karras et al. 2022, alg. 2): noise is added before each of Heun's steps."""

    kind: Literal["churn"] = "churn"
    between_steps: ClassVar[bool] = True
    s_churn: Annotated[float, Field(ge=0, description="how much noise in all")] = 40.0
    s_min: Annotated[float, Field(ge=0, description="no noise is added below this sigma")] = 0.05
    s_max: Annotated[float, Field(gt=0, description="nor above this one")] = 50.0
    s_noise: Annotated[float, Field(gt=0, description="standard deviation of the noise added")] = 1.003

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        x, steps = path.start, len(path.times)
        for i in range(steps):
            now, ahead = path.ratios[i], path.ratios[i + 1]
            # s^ = s_i (1 + gamma),  gamma = min(S_churn / N, sqrt(2) - 1) within [S_min, S_max], else 0
            raised = now * (1 + min(self.s_churn / steps, 2**0.5 - 1)) if self.s_min <= now <= self.s_max else now
            if raised > now:
                # x^ = x_i + sqrt(s^^2 - s_i^2) S_noise eps
                x = x + (raised**2 - now**2).sqrt() * self.s_noise * fresh().to(torch.float64)
            # Then Heun's step from s^ to s_{i+1}.
            slope = (x - path.estimate_at(x, raised)) / raised
            euler = x + (ahead - raised) * slope
            if i == steps - 1:
                return euler
            x = x + (ahead - raised) * 0.5 * (slope + (euler - path.estimate(euler, i + 1)) / ahead)
        return x


class _Posterior(Sampler):
    """Steps that add a share ``eta`` of the posterior's noise."""

    eta: Annotated[float, Field(ge=0, le=1, description="share of the noise of ancestral sampling")] = 0.0

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        x = path.start
        for i in range(len(path.times)):
            now, ahead = path.ratios[i], path.ratios[i + 1]
            x0 = path.estimate(x, i)
            # a = eta s_{i+1} / s_i sqrt(s_i^2 - s_{i+1}^2), the standard deviation of the noise that is added
            added = self.eta * ahead / now * (now**2 - ahead**2).sqrt()
            # x_{i+1} = D(x_i) + sqrt(s_{i+1}^2 - a^2) / s_i (x_i - D(x_i)) + a eps
            x = x0 + (ahead**2 - added**2).clamp_min(0).sqrt() / now * (x - x0)
            if added > 0:
                x = x + added * fresh().to(torch.float64)
        return x


class DDIM(_Posterior):
    """DDIM (Song, Meng & Ermon 2021, eq. 12), one network evaluation a step.

    eta = 0 is deterministic, and in these variables the same as Euler's method; eta = 1 is ancestral sampling.
    """

    kind: Literal["ddim"] = "ddim"


class Ancestral(_Posterior):
    """DDPM's ancestral sampling with the posterior's variance (Ho et al. 2020, alg. 2)."""

    kind: Literal["ancestral"] = "ancestral"
    eta: Annotated[float, Field(ge=1, le=1)] = 1.0


class Consistency(Sampler):
    """One-step and multi-step sampling of consistency models (Song et al. 2023, alg. 1).

    One network evaluation a step: from sigma_max straight to the data, then noise up to the next level and
    down again. The levels are those of the grid at the indices i (N - 1) / num_steps.
    """

    kind: Literal["consistency"] = "consistency"

    def times(self, formulation: Formulation, num_steps: int) -> Tensor:
        ramp = torch.arange(num_steps, dtype=torch.float64) / num_steps
        return formulation.grid.time(ramp * formulation.grid.last)

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        # x_0 = D(s_0 eps)
        x = path.estimate(path.start, 0)
        for i in range(1, len(path.times)):
            # x_i = D(x_{i-1} + sqrt(s_i^2 - s_min^2) eps): a consistency model takes x(sigma_min) for the data.
            added = (path.ratios[i] ** 2 - path.smallest**2).clamp_min(0).sqrt()
            x = path.estimate(x + added * fresh().to(torch.float64), i)
        return x


class _Scheduled(Sampler):
    """A multistep solver of diffusers, fed with the path's levels; one network evaluation a step."""

    def walk(self, path: Path, fresh: FreshNoise) -> Tensor:
        steps = len(path.times)
        scheduler = self._scheduler()
        scheduler.set_timesteps(steps)
        # The library's levels are those of its own training schedule; ours replace them.
        scheduler.sigmas = path.ratios
        scheduler.timesteps = torch.arange(steps, 0, -1)
        # It works on variance-preserving images: x / sqrt(1 + s^2).
        shrink = (1 + path.ratios**2).rsqrt()
        x = path.start * shrink[0]
        for i, timestep in enumerate(scheduler.timesteps):
            x0 = path.estimate(x / shrink[i], i)
            x = scheduler.step(x0, timestep, x, return_dict=False)[0].to(torch.float64)
        return x

    @abstractmethod
    def _scheduler(self) -> Any: ...


class DPMSolverPP(_Scheduled):
    """DPM-Solver++ (Lu et al. 2022), multistep, order 2, in diffusers' implementation."""

    kind: Literal["dpm-solver++"] = "dpm-solver++"

    def _scheduler(self) -> Any:
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

        return DPMSolverMultistepScheduler(prediction_type="sample", algorithm_type="dpmsolver++", solver_order=2)


class UniPC(_Scheduled):
    """UniPC (Zhao et al. 2023), order 2, in diffusers' implementation."""

    kind: Literal["unipc"] = "unipc"

    def _scheduler(self) -> Any:
        from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

        return UniPCMultistepScheduler(prediction_type="sample", solver_order=2, final_sigmas_type="zero")


SAMPLERS: dict[str, type[Sampler]] = {
    "heun": Heun,
    "euler": Euler,
    "churn": Churn,
    "ddim": DDIM,
    "ancestral": Ancestral,
    "consistency": Consistency,
    "dpm-solver++": DPMSolverPP,
    "unipc": UniPC,
}
"""kind -> class."""


def count_evaluations(sampler: Sampler, formulation: Formulation, num_steps: int) -> int:
    """NFE of a sampler at a budget, counted on one pixel and a denoiser that knows nothing."""
    counted = CountingDenoiser(lambda x, t, condition: torch.zeros_like(x))
    pixel = torch.zeros(1, 1, 1, 1)
    sampler.sample(counted, pixel, UNCONDITIONAL, formulation, num_steps, lambda: torch.zeros_like(pixel))
    return counted.calls
