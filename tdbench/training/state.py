"""The networks of a run and what changes them: how they are built, kept and taken up again."""

import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tdbench.data.archive import ImageSet
from tdbench.diffusion.preconditioning import Condition, Denoiser, DenoiserCall
from tdbench.errors import TdbenchError
from tdbench.experiment.run import Run
from tdbench.networks import build_network, count_parameters
from tdbench.records.schema import Passes
from tdbench.runtime.distributed import ALONE, World
from tdbench.seeds import derive_seed
from tdbench.training.augmentation import AUGMENT_DIM
from tdbench.training.ema import AveragedNetwork
from tdbench.training.engine import Engine, choose_engine, compile_network, without_compilation
from tdbench.training.optimizers import build_optimizer


@dataclass
class TrainingState:
    """All that changes from step to step, and how it is evaluated."""

    denoiser: Denoiser
    target: AveragedNetwork[Denoiser] | None
    """Target network, where the objective or the formulation has one."""
    average: AveragedNetwork[Denoiser]
    """The average that is sampled."""
    follower: AveragedNetwork[Denoiser] | None
    """A target that follows and is never evaluated (`Run.follower`)."""
    optimizer: torch.optim.Optimizer
    engine: Engine
    device: torch.device
    world: World = ALONE
    shared: DistributedDataParallel | None = None
    """The denoiser whose gradients are averaged over processes, where there are several."""
    evaluations: Passes | None = None
    """Forward passes of the last step, counted; None before the first."""

    def trained_call(self) -> DenoiserCall:
        """The network that is trained, as the objective calls it."""
        return self.engine.caller(self.shared or self.denoiser, self.engine.precision, self.device)

    def target_call(self) -> DenoiserCall | None:
        """The target network, as the objective calls it."""
        if self.target is None:
            return None
        return self.engine.target_caller(self.target.network, self.device)

    def adding_up(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients of all but the last part of a batch stay in this process."""
        return nullcontext() if self.shared is None or last else self.shared.no_sync()

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, by name."""
        found: dict[str, Tensor] = {}
        for name, network in self._networks().items():
            found |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            found |= {f"optimizer/{index}/{key}": value for key, value in values.items()}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave, to the bit.

        Raises
        ------
        RuntimeError
            If the tensors are of other networks.
        """
        for name, network in self._networks().items():
            prefix = f"{name}/"
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if matched := re.fullmatch(r"optimizer/(\d+)/(\w+)", key):
                moments.setdefault(int(matched[1]), {})[matched[2]] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})

    def _networks(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"denoiser": self.denoiser, "average": self.average.network}
        if self.target is not None:
            networks["target"] = self.target.network
        if self.follower is not None:
            networks["follower"] = self.follower.network
        return networks


class ImageShape(Protocol):
    """What a network is built for, such as a `DataSummary`."""

    @property
    def channels(self) -> int: ...
    @property
    def resolution(self) -> int: ...
    @property
    def classes(self) -> int:
        """0 without labels."""


def build_denoiser(run: Run, data: ImageShape, seed: int) -> Denoiser:
    """The network of a run with its preconditioning, for images of that shape."""
    preconditioning = run.formulation.preconditioning()
    network = build_network(
        run.network,
        data.channels,
        data.resolution,
        data.classes,
        AUGMENT_DIM if run.training.augmentation else 0,
        preconditioning.embedding_scale,
        seed,
    )
    return Denoiser(network, preconditioning)


def build_state(run: Run, data: ImageSet, device: torch.device, world: World = ALONE) -> TrainingState:
    """Networks and optimizer of a run at step 0, the same in every process.

    Raises
    ------
    TdbenchError
        If there are more processes than images in a batch.
    """
    if world.count > run.training.batch_size:
        raise TdbenchError(
            f"{run.name}: {world.count} processes: training.batch_size {run.training.batch_size} must be no less; "
            "each takes its share of every batch"
        )
    denoiser = build_denoiser(run, data.summary(), derive_seed(run.seed, "initial-weights")).to(device).train()
    engine = choose_engine(run.training, device, count_parameters(denoiser))
    if engine.channels_last:
        denoiser.to(memory_format=torch.channels_last)
    target = AveragedNetwork(denoiser) if run.objective.target_rule(run.formulation) is not None else None
    optimizer = build_optimizer(denoiser.parameters(), run.training)
    average, follower = AveragedNetwork(denoiser), AveragedNetwork(denoiser) if run.follower is not None else None
    state = TrainingState(denoiser, target, average, follower, optimizer, engine, device, world)
    _prepare(state, run, data)
    return state


def _prepare(state: TrainingState, run: Run, data: ImageSet) -> None:
    """Compile the networks, and connect those of several processes."""
    if state.engine.compiled:
        done = compile_network(state.denoiser, lambda: _try_out(state.trained_call(), run, data, state))
        target, call = state.target, state.target_call()
        if done and target is not None and call is not None:
            with torch.no_grad():
                done = compile_network(target.network, lambda: _try_out(call, run, data, state))
            if not done:
                without_compilation(state.denoiser.network)
        state.engine = replace(state.engine, compiled=done)
    if state.world.count > 1:
        with warnings.catch_warnings():
            # The name of the option that leaves buffers, constants here, alone changes between versions of PyTorch.
            warnings.simplefilter("ignore", FutureWarning)
            state.shared = DistributedDataParallel(
                state.denoiser, gradient_as_bucket_view=True, broadcast_buffers=False
            )
        # The first pass settles the order in which gradients are summed. Were it that of step 0, a training that goes
        # on from a checkpoint would sum in another order than one that was not interrupted.
        _try_out(state.trained_call(), run, data, state)
    state.optimizer.zero_grad(set_to_none=True)


def _try_out(call: DenoiserCall, run: Run, data: ImageSet, state: TrainingState) -> None:
    """Evaluate a network as the training will, backwards too if gradients are wanted."""
    size = parts(run, state.world)[0]
    count, device = size.stop - size.start, state.device
    images = torch.zeros(count, data.channels, data.resolution, data.resolution, device=device)
    labels = torch.zeros(count, data.num_classes, device=device) if data.num_classes else None
    augmentation = torch.zeros(count, AUGMENT_DIM, device=device) if run.training.augmentation else None
    times = run.formulation.sample_time(torch.zeros(count, 1, 1, 1))
    result = call(images, times, Condition(labels, augmentation))
    if torch.is_grad_enabled():
        result.square().mean().backward()


def parts(run: Run, world: World) -> list[slice]:
    """The parts of a batch that go through this process's network one after the other."""
    return run.training.parts(world.share(run.training.batch_size))
