"""The block `training` of the experiment file, and the optimizers by name."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from tdbench.experiment.evaluation import relative_to_experiment
from tdbench.settings import Parameters, one_of

LARGEST_BATCH = 2**20
MOST_SNAPSHOTS, MOST_THREADS = 10_000, 4_096
Positive = Annotated[float, Field(gt=0)]
Precision = Literal["auto", "fp32", "tf32", "bf16"]


def _file(value: Any, info: ValidationInfo) -> Any:
    return None if value is None else relative_to_experiment(value, info)


class OptimizerClass(NamedTuple):
    """A PyTorch optimizer: its class as ``module:name``, and whether it has a fused kernel."""

    name: str
    fused: bool


OPTIMIZERS = {
    "adam": OptimizerClass("torch.optim:Adam", fused=True),
    # Loshchilov & Hutter 2019.
    "adamw": OptimizerClass("torch.optim:AdamW", fused=True),
    # Liu et al. 2020; PyTorch has no fused kernel for it.
    "radam": OptimizerClass("torch.optim:RAdam", fused=False),
}
"""kind -> class."""


class Optimizer(Parameters):
    """Settings of a PyTorch optimizer, with the meaning that PyTorch gives them."""

    kind: Annotated[str, one_of(OPTIMIZERS, "optimizer")] = "adam"
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]],
        Field(description="decay per step of the averages of the gradient and of its square"),
    ] = (0.9, 0.999)
    epsilon: Annotated[float, Field(ge=1e-12, le=1, description="added to the root of the average square")] = 1e-8
    weight_decay: Annotated[
        float,
        Field(ge=0, le=1000, description="adamw: a share of the weights; adam and radam: added to the gradient"),
    ] = 0.0


def _optimizer(value: Any) -> Any:
    """``radam`` means ``{kind: radam}``."""
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict | Optimizer):
        known = ", ".join(OPTIMIZERS)
        raise ValueError(f"should be one of {known}, or a mapping such as {{kind: radam, weight_decay: 0}}")
    return value


class Training(Parameters):
    """How a network is trained. One kimg is 1,000 images shown."""

    duration_kimg: Annotated[float, Field(gt=0, le=1e9)]
    batch_size: Annotated[int, Field(ge=1, le=LARGEST_BATCH)]
    learning_rate: Positive
    rampup_kimg: Annotated[float, Field(ge=0, description="linear ramp-up of the learning rate")] = 0.0
    optimizer: Annotated[Optimizer, BeforeValidator(_optimizer)] = Optimizer()
    gradient_clip_norm: Annotated[
        float | None, Field(ge=1e-6, description="scale the gradient of all weights down to at most this norm")
    ] = None
    ema_half_life_kimg: Annotated[
        float | None, Field(gt=0, description="half-life of the weight average (EMA) that is sampled, in kimg")
    ] = None
    ema_decay: Annotated[
        float | None,
        Field(ge=0, lt=1, description="instead of the half-life: the share of the average that each step keeps"),
    ] = None
    ema_rampup_ratio: Annotated[
        float | None,
        Field(gt=0, description="the half-life is at most this share of the images shown; null: no limit"),
    ] = 0.05
    horizontal_flips: Annotated[bool, Field(description="mirror each image with probability 1/2")] = False
    augmentation: Annotated[
        float, Field(ge=0, lt=1, description="probability of each of EDM's non-leaking augmentations; 0 for none")
    ] = 0.0
    snapshot_kimg: Annotated[float, Field(gt=0, description="interval between snapshots")]
    metrics_every_steps: Annotated[int, Field(ge=1)] = 20
    checkpoint_minutes: Annotated[float, Field(ge=0, description="minutes between checkpoints")] = 10.0
    microbatch_size: Annotated[
        int | None,
        Field(ge=1, description="images that go through the network at once; gradients accumulate over a batch"),
    ] = None
    precision: Annotated[
        Precision, Field(description="number format of the network; auto: bf16 where it is faster")
    ] = "auto"
    target_precision: Annotated[Precision, Field(description="number format of the target network; auto: the same")] = (
        "auto"
    )
    compile: Annotated[bool | Literal["auto"], Field(description="torch.compile; auto: on a GPU")] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[
        int, Field(ge=1, le=MOST_THREADS, description="CPU threads; the exact bits of the result depend on them")
    ] = 1
    processes: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_THREADS,
            description="processes of one training, each with its own GPU if the machine has GPUs",
        ),
    ] = 1
    distance_weights: Annotated[
        Path | None,
        BeforeValidator(_file),
        Field(description="your own file of VGG16 weights for distance lpips, instead of the published one"),
    ] = None

    @property
    def steps(self) -> int:
        return math.ceil(round(self.duration_kimg * 1000 / self.batch_size, 6))

    def snapshot_steps(self, last: int | None = None) -> list[int]:
        """Return the steps with a snapshot: the first at or past each multiple of the interval, and the last step.

        ``last`` is the last step of a training that continues; its own last step stays among them.
        """
        kimg = self.duration_kimg if last is None else max(self.duration_kimg, last * self.batch_size / 1000)
        count = math.floor(round(kimg / self.snapshot_kimg, 6))
        reached = {math.ceil(round(k * self.snapshot_kimg * 1000 / self.batch_size, 6)) for k in range(1, count + 1)}
        return sorted(reached | {self.steps} | ({last} if last is not None else set()))

    def images_at(self, step: int) -> int:
        return step * self.batch_size

    def parts(self, share: slice) -> list[slice]:
        """Return the parts of a process's share of the batch that go through the network one after the other."""
        size = self.microbatch_size or self.batch_size
        return [slice(start, min(start + size, share.stop)) for start in range(share.start, share.stop, size)]

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        if "betas" in content:
            raise ValueError(
                f"betas: {content['betas']!r:.60}: belong to the optimizer; write, for example, "
                "optimizer: {kind: adam, betas: [0.9, 0.999]}"
            )
        if content.get("ema_decay") is not None and content.get("ema_half_life_kimg") is None:
            # The ratio limits the half-life, and without a half-life the result does not depend on it.
            return {**content, "ema_rampup_ratio": None}
        return content

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema_half_life_kimg is None and self.ema_decay is None:
            raise ValueError("ema_half_life_kimg: is missing; give it, or ema_decay")
        if self.ema_half_life_kimg is not None and self.ema_decay is not None:
            raise ValueError(
                f"ema_decay: {self.ema_decay:g}: set together with ema_half_life_kimg {self.ema_half_life_kimg:g}; "
                "set one of them to null"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.snapshot_kimg > self.duration_kimg:
            raise ValueError(f"snapshot_kimg {self.snapshot_kimg:g} exceeds duration_kimg {self.duration_kimg:g}")
        if self.duration_kimg > MOST_SNAPSHOTS * self.snapshot_kimg:
            raise ValueError(
                f"snapshot_kimg {self.snapshot_kimg:g}: makes more than {MOST_SNAPSHOTS:,} snapshots of "
                f"duration_kimg {self.duration_kimg:g}"
            )
        if self.steps < 1:
            raise ValueError(f"duration_kimg {self.duration_kimg:g} is less than one image")
        if self.processes > 1 and self.device == "cpu":
            raise ValueError(f"processes {self.processes} are for GPUs; with device: cpu set training.threads instead")
        return self
