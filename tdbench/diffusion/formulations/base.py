"""What a formulation offers to the trainer, the samplers and the temporal-difference objective."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

from tdbench.diffusion.grid import TimeGrid
from tdbench.diffusion.preconditioning import Preconditioning
from tdbench.diffusion.processes import Coupling, Level, Posterior, like, posterior_coefficients
from tdbench.settings import Parameters

Weight = Literal["pairwise", "source", "constant", "linear"]


class TDPreset(NamedTuple):
    """Settings of the temporal difference for a formulation, which fill in what an experiment leaves out."""

    weight: Weight
    """w(t, t'), the weight of a pair."""
    lambda_: float
    """lambda, the weight of the base loss."""
    span: float
    """k, grid indices from t to t'."""
    stride: float
    """Delta, grid indices from t to tau."""
    coupling: Coupling
    posterior: Posterior


WHOLE_STEPS = TDPreset("pairwise", lambda_=0.5, span=1.0, stride=1.0, coupling="markov", posterior="ancestral")
"""For a discrete process: tau = t - 1 and t' = t - 1. The posterior is the paper's."""
BETWEEN_STEPS = WHOLE_STEPS._replace(stride=0.25)
"""The same in continuous time, where tau' < t' < tau < t: the stride is below the span. Span and stride as for EDM."""


SCHEDULE_POINTS = 64
"""Shares of training at which a schedule is compared with its beginning."""


class Noise(NamedTuple):
    """The standard normal draws behind the loss of one batch."""

    time: Tensor
    """(N, 1, 1, 1): picks the time; on the CPU."""
    image: Tensor
    """(N, C, H, W): the noise of the image."""
    pair: Tensor
    """(N, C, H, W): the further noise that a second point of the path needs."""

    @classmethod
    def draw(
        cls,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        times: torch.Generator,
        shared: torch.Generator,
        pair: torch.Generator,
    ) -> "Noise":
        """Draws for images of a shape (N, C, H, W), each tensor on the device of its generator.

        ``times``, on the CPU, and ``shared`` give what every objective uses, ``pair`` what only paired points need: a
        baseline and its TD twin therefore get the same ``time`` and ``image``.
        """
        time = torch.randn((shape[0], 1, 1, 1), generator=times, dtype=dtype)
        image = torch.randn(shape, generator=shared, dtype=dtype, device=shared.device)
        return cls(time, image, torch.randn(shape, generator=pair, dtype=dtype, device=pair.device))

    def part(self, images: slice) -> "Noise":
        """Those of some of the images."""
        return Noise(*(drawn[images] for drawn in self))


class Losses(NamedTuple):
    """The loss of a batch, image by image; each (N,)."""

    total: Tensor
    """What is minimised."""
    base: Tensor
    """The formulation's own loss at the same x_t."""
    td: Tensor
    """w ||delta||^2, zero where there is no valid pair."""
    valid: Tensor
    """Whether the image has a valid pair (bool); on the CPU."""


class PairTimes(NamedTuple):
    """The three further times of a temporal difference; each (N, 1, 1, 1).

    Where ``valid`` is false, tau and tau' are not used, and t' only says how x_t is drawn.
    """

    t_prime: Tensor
    tau: Tensor
    tau_prime: Tensor
    valid: Tensor


class Estimates(NamedTuple):
    """What the networks say of one batch, as a formulation's own loss sees it."""

    x0: Tensor
    """(N, C, H, W) the images."""
    denoised: Tensor
    """(N, C, H, W) D(x_t, t)."""
    t: Tensor
    """(N, 1, 1, 1)."""
    denoised_prime: Tensor | None = None
    """(N, C, H, W) D'(x_t', t') of the target network, for losses that compare with it."""
    t_prime: Tensor | None = None
    """(N, 1, 1, 1)."""


class Formulation(Parameters):
    """A forward process with its parameterization, time grid and own loss.

    Times are (N, 1, 1, 1) and float64, in the formulation's own measure. A new formulation is a subclass
    with a ``kind`` of its own, registered in `formulations.FORMULATIONS`; it is frozen, and its fields are
    what the experiment file may set.
    """

    kind: str
    grid: TimeGrid

    weights: ClassVar[tuple[Weight, ...]] = ("pairwise", "source", "constant")
    """The pair weights that it has."""
    couplings: ClassVar[tuple[Coupling, ...]] = ("markov", "shared")
    """The couplings of the two points that it allows."""
    own_target: ClassVar[bool] = False
    """Whether its own loss compares with a target network, which the temporal difference then shares."""
    no_matter_to_baseline: ClassVar[Mapping[str, bool | set[str]]] = {"grid": True}
    """Settings that no weight of a baseline depends on: the grid serves pairs and samplers. In pydantic's form."""
    baseline_kind: ClassVar[str | None] = None
    """The kind whose baselines its own are, where that is another one."""
    whole_indices: ClassVar[bool] = False
    """Whether times are grid points only, as in a discrete process."""
    td_presets: ClassVar[Mapping[str, TDPreset]] = {}
    """Settings of the TD objective by preset, each with every key of `td.TDSettings` except the target."""

    @property
    def loss_gflops(self) -> float:
        """1e9 floating-point operations of its own loss for each image, gradient included, without the networks."""
        return 0.0

    @property
    def distance_weights_needed(self) -> bool:
        """Whether its own loss calls `distances.lpips`, whose network the trainer then loads."""
        return False

    @abstractmethod
    def preconditioning(self) -> Preconditioning:
        """How network and denoiser are related."""

    @abstractmethod
    def level(self, t: Tensor) -> Level:
        """alpha and sigma at the times ``t``."""

    @abstractmethod
    def sample_time(self, z: Tensor) -> Tensor:
        """The times that the standard normal ``z`` picks for training, float64."""

    def time_of(self, ratio: Tensor) -> Tensor:
        """The time at which sigma / alpha is ``ratio``, any shape, for samplers that leave the grid.

        Raises
        ------
        NotImplementedError
            For a discrete process.
        """
        raise NotImplementedError(f"{self.kind} has no times between its steps")

    def at(self, fraction: float) -> Self:
        """The formulation at a share of training in [0, 1): itself, unless it has a schedule."""
        return self

    def target_decay(self, fraction: float) -> float:
        """Share of the old target that a step keeps, where `own_target`."""
        raise NotImplementedError

    @property
    def length_dependence(self) -> str | None:
        """What depends on the length of training, or None.

        Without such a schedule, a longer training of a baseline has the shorter one as its beginning.
        """
        shares = [i / SCHEDULE_POINTS for i in range(SCHEDULE_POINTS)]
        if any(self.at(share) != self.at(0.0) for share in shares):
            return f"the schedule of {self.kind} depends on the length of training"
        if self.own_target and any(self.target_decay(share) != self.target_decay(0.0) for share in shares):
            return f"the decay of the target of {self.kind} depends on the length of training"
        return None

    def pair_times(self, t: Tensor, span: float, stride: float) -> PairTimes:
        """t' = t "+ span", tau = t "+ stride", tau' = t' "+ stride": indices that count towards the data.

        Valid where t and tau' both lie on the grid. Beyond it the grid's formula is extrapolated: the point x_t'
        is still a less noisy one of the same path.
        """
        index = self.grid.index(t)
        t_prime, tau, tau_prime = (self.grid.time(index + shift) for shift in (span, stride, span + stride))
        return PairTimes(t_prime, tau, tau_prime, self.grid.holds(index, span + stride))

    def base_loss(self, estimates: Estimates) -> Tensor:
        """(N,) own loss of each image: ||x0 - D||^2 / c_out^2, the squared error of the raw network.

        That is EDM's, VP's and VE's weight (Karras et al. 2022, table 1) and DDPM's ||eps - F||^2
        (Ho et al. 2020, eq. 14); ||.||^2 is a mean over channels and pixels.
        """
        c_out = like(self.preconditioning().c_out(estimates.t), estimates.x0)
        return per_image_mean(((estimates.x0 - estimates.denoised) / c_out) ** 2)

    def pair_weight(self, name: Weight, a: Tensor, t: Tensor, a_prime: Tensor, t_prime: Tensor) -> Tensor:
        """w(t, t'), (N, 1, 1, 1), from A and the times of both points.

        ``pairwise``: 1 / (A^2 c_out^2 + A'^2 c_out'^2), the paper's weight for EDM.
        ``source``: 1 / max(A^2 c_out^2, 1e-8), what the authors' released code computes.
        ``constant``: 1, the paper's "unweighted" ablation.
        """
        if name == "constant":
            return torch.ones_like(a)
        c_out, c_out_prime = (self.preconditioning().c_out(time) for time in (t, t_prime))
        source = (a * c_out) ** 2
        if name == "source":
            return 1 / source.clamp_min(1e-8)
        return 1 / (source + (a_prime * c_out_prime) ** 2)

    def check_ends(self) -> None:
        """Refuse a path on which nothing can be trained or sampled: at its two ends all coefficients are finite.

        They are those of the process (alpha, sigma), of the samplers (sigma / alpha), of the preconditioning, and A of
        the temporal difference between the ends; in float32, as the networks see them.

        Raises
        ------
        ValueError
            Names the end, its time, and the coefficient.
        """
        ends = self.grid.times(2)
        levels = [self.level(time.view(1, 1, 1, 1)) for time in ends]
        between = {f"A ({kind})": posterior_coefficients(kind, *levels)[0] for kind in get_args(Posterior)}
        for name, time, level in zip(("noisiest", "least noisy"), ends, levels, strict=True):
            p, t = self.preconditioning(), time.view(1, 1, 1, 1)
            found = {
                "alpha": level.alpha,
                "sigma": level.sigma,
                "sigma / alpha": level.sigma / level.alpha,
                "c_skip": p.c_skip(t),
                "c_out": p.c_out(t),
                "c_in": p.c_in(t),
                "c_noise": p.c_noise(t),
            }
            for coefficient, value in (found | between).items():
                positive = coefficient in ("alpha", "sigma", "sigma / alpha")
                if not bool(value.float().isfinite().all()) or (positive and float(value.float()) <= 0):
                    wanted = "a finite number above 0" if positive else "a finite number"
                    raise ValueError(
                        f"{coefficient} is {float(value):g} at the {name} time of the grid, {float(time):g}; expected "
                        f"{wanted}: choose another schedule, or another grid"
                    )

    def baseline_settings(self) -> dict[str, Any]:
        """What the weights of a baseline depend on."""
        settings = self.model_dump(mode="json", exclude=self.no_matter_to_baseline)
        return settings | ({} if self.baseline_kind is None else {"kind": self.baseline_kind})


def per_image_mean(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N,)."""
    return x.flatten(1).mean(1)


def uniform(z: Tensor) -> Tensor:
    """Standard normal -> uniform in (0, 1), float64, so that one draw serves every distribution of times."""
    found: Tensor = torch.special.ndtr(z.double())
    return found
