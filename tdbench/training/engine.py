"""How networks are evaluated in training: number format, memory layout, compilation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tdbench.diffusion.preconditioning import Condition, Denoiser, DenoiserCall
from tdbench.experiment.training import Precision, Training
from tdbench.runtime.device import native_bf16, without_gradient
from tdbench.runtime.progress import say

NumberFormat = Literal["fp32", "tf32", "bf16"]

LARGE = 1_000_000
"""Parameters from which bfloat16 pays on a CPU; below, converting costs what it saves (docs/performance.md)."""
LONG = 1_000
"""Steps from which a compilation of a minute or two pays."""


@dataclass(frozen=True)
class Engine:
    """The choices made for one training, recorded with it."""

    precision: NumberFormat
    """Of the trained network's products; weights, sums and all that surrounds the network are float32."""
    target_precision: NumberFormat
    """Of the target network's."""
    channels_last: bool
    compiled: bool

    def caller(self, denoiser: Callable[..., Tensor], precision: NumberFormat, device: torch.device) -> DenoiserCall:
        """``denoiser`` with its network's products in that format.

        The preconditioning around the network stays in float32: under autocast only convolutions, products of matrices
        and attention take bfloat16. The network's rounding is therefore scaled by c_out like its own error, wherever it
        is small against c_skip x.
        """

        if precision != "bf16":
            return denoiser

        def call(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16):
                return denoiser(x, t, condition)

        return call

    def target_caller(self, denoiser: Callable[..., Tensor], device: torch.device) -> DenoiserCall:
        """The target network ``denoiser`` in its number format, without all that a gradient would need."""
        evaluate = self.caller(denoiser, self.target_precision, device)

        def call(x: Tensor, t: Tensor, condition: Condition) -> Tensor:
            with without_gradient(device):
                found = evaluate(x, t, condition)
            # A loss may keep what it gets for its gradient, and autograd keeps no tensor made in inference mode.
            return found.clone() if found.is_inference() else found

        return call


def choose_engine(training: Training, device: torch.device, parameters: int) -> Engine:
    """What ``auto`` means on that device for a network of so many parameters.

    For the network: bfloat16 where the hardware multiplies it and it pays; else TF32 on CUDA, set for the process; else
    float32. For its target: the same, since a cheaper format shifts the gradient a little (docs/performance.md).
    """
    cuda = device.type == "cuda"
    fast = native_bf16(device) and (cuda or parameters >= LARGE)
    best: NumberFormat = "bf16" if fast else "tf32" if cuda else "fp32"

    def chosen(wanted: Precision, auto: NumberFormat) -> NumberFormat:
        if wanted == "tf32" and not cuda:
            return "fp32"
        return auto if wanted == "auto" else wanted

    precision = chosen(training.precision, best)
    target = chosen(training.target_precision, precision)
    if cuda:
        exact = "fp32" in (precision, target)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact
        if exact:
            # One setting for the whole process: what has to be exact decides, and the record says so.
            precision, target = ("fp32" if found == "tf32" else found for found in (precision, target))
    compiled = cuda and training.steps >= LONG if training.compile == "auto" else training.compile
    return Engine(precision, target, channels_last=cuda, compiled=compiled)


def compile_network(denoiser: Denoiser, try_out: Callable[[], Any]) -> bool:
    """Compile a denoiser's network in place; where that fails, say so and leave it as it was.

    Parameters
    ----------
    try_out : callable
        Evaluates it once as the training will, since compilation happens at the first call.
    """
    network = denoiser.network
    network.compile()
    try:
        try_out()
    except Exception as error:  # compilers raise exceptions of any kind
        without_compilation(network)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        say(f"torch.compile failed, continuing without it: {reason[:300]}")
        return False
    return True


def without_compilation(network: nn.Module) -> None:
    """Evaluate a network as it was before `compile_network`."""
    # PyTorch has no call that takes back Module.compile(); this is all that it sets.
    network._compiled_call_impl = None
