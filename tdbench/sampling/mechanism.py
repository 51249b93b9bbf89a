"""Measuring the mechanism of the temporal difference with a run's weights, part of the stage that samples."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import torch

from tdbench.data.archive import read_archive
from tdbench.data.loading import Batch, Batches
from tdbench.diffusion.formulations.base import Formulation
from tdbench.diffusion.measured_pairs import spread_times
from tdbench.diffusion.mechanism import (
    MechanismAt,
    Networks,
    gradient_noise,
    indices_of,
    measure,
    td_at_the_end,
)
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.objectives.td import TD
from tdbench.diffusion.preconditioning import Condition, Denoiser
from tdbench.errors import TdbenchError
from tdbench.experiment.evaluation import MechanismSettings
from tdbench.experiment.run import Run
from tdbench.networks import count_parameters
from tdbench.records.layout import DatasetLayout, RunLayout
from tdbench.records.mechanism import Mechanism, MechanismTime
from tdbench.records.schema import Settings
from tdbench.records.stored import Records
from tdbench.records.weights import check_snapshot, load_networks, load_snapshot
from tdbench.runtime.device import choose_device
from tdbench.runtime.files import write_json
from tdbench.runtime.progress import progress
from tdbench.runtime.provenance import provenance
from tdbench.seeds import generator
from tdbench.training.engine import LARGE
from tdbench.training.state import build_denoiser


def measure_mechanism(run: Run, layout: RunLayout, files: DatasetLayout) -> None:
    """Write mechanism.json for a run that has such an objective; see `mechanism_of`."""
    td, settings = run.mechanism_td, run.evaluation.mechanism
    if td is None or settings is None:
        return
    key = Records(layout.results).of(run).mechanism_key
    write_json(layout.mechanism, mechanism_of(run, td, layout, files, settings, key))


def mechanism_of(
    run: Run,
    objective: Objective,
    layout: RunLayout,
    files: DatasetLayout,
    settings: MechanismSettings,
    key: Settings,
    noise_levels: list[float] | None = None,
) -> Mechanism:
    """The mechanism of a temporal difference with the averaged weights of a run's last snapshot.

    The lag is that of the trained network and its target, where they were kept.

    Parameters
    ----------
    objective : Objective
        A temporal difference with Markov pairs: the run's own, or one to ask about.
    key : dict
        What the figures depend on, if they are kept (`RunRecords.mechanism_key`).
    noise_levels : list of float or None
        sigma / alpha of the times to measure at, instead of times that are spread over the grid.

    Raises
    ------
    TdbenchError
        If files are missing, or the measured values are not finite.
    """
    td, formulation = td_at_the_end(objective, run.last_share), run.formulation.at(run.last_share)
    assert td is not None, "it is a temporal difference with Markov pairs"
    try:
        indices = (
            indices_of(formulation, td, noise_levels) if noise_levels else spread_times(formulation, td, settings.times)
        )
    except ValueError as error:
        raise TdbenchError(f"{run.name}: {error}") from error
    measured = _Measured(run, layout, files, settings, td, formulation)
    times = []
    with progress(f"{run.name} mechanism", len(indices), "time") as bar:
        for point in measured.at(indices):
            times.append(MechanismTime.model_validate(asdict(point)))
            bar.update(1)
    return Mechanism(
        key=key,
        images=len(measured.batch.images),
        batch_size=run.training.batch_size,
        times=times,
        provenance=provenance(),
    )


class _Measured:
    """The networks and images of a measurement."""

    def __init__(
        self,
        run: Run,
        layout: RunLayout,
        files: DatasetLayout,
        settings: MechanismSettings,
        td: TD,
        formulation: Formulation,
    ) -> None:
        self.run, self.td, self.settings, self.formulation = run, td, settings, formulation
        self.device = choose_device(run.training.device, run.training.threads)
        self.records, self.data = Records(layout.results).of(run), read_archive(files.archive)
        self.denoiser = self._network()
        path, command = layout.snapshot(run.last_images), self.records.command("train")
        check_snapshot(path, self.records.snapshots[run.last_images], command)
        load_snapshot(path, self.denoiser, command)
        self.networks = Networks(self.denoiser, *self._trained_and_target())
        self.batch = self._images(min(settings.images, len(self.data.images)), 0)

    def _network(self) -> Denoiser:
        return build_denoiser(self.run, self.records.trained.data, seed=0).to(self.device).eval()

    def _trained_and_target(self) -> tuple[Denoiser, Denoiser] | tuple[None, None]:
        kept = self.records.networks
        if kept is None or kept.target != self._rule():
            return None, None
        trained, target = self._network(), self._network()
        path = self.records.layout.training / kept.file
        check_snapshot(path, kept, self.records.command("train"))
        load_networks(path, {"trained": trained, "target": target}, self.records.command("train"))
        return trained, target

    def _rule(self) -> dict[str, object]:
        return self.td.target.model_dump(mode="json", by_alias=True)

    def _images(self, count: int, step: int) -> Batch:
        batches = Batches(self.data, count, self.run.seed, self.device)
        found = batches.at(step)
        batches.close()
        return found

    def at(self, indices: list[float]) -> Iterator[MechanismAt]:
        """Yield the mechanism at each time."""
        condition, source = Condition(self.batch.labels), generator(self.run.seed, "mechanism")
        noise = generator(self.run.seed, "gradient-noise")
        small = count_parameters(self.denoiser) < LARGE and self.settings.batches > 0
        size = min(self.run.training.batch_size, len(self.data.images))
        batches = [self._images(size, step) for step in range(self.settings.batches)] if small else []
        parts = [(batch.images, Condition(batch.labels)) for batch in batches]
        for point in measure(self.networks, self.formulation, self.td, self.batch.images, condition, indices, source):
            if not torch.tensor([point.variance, point.remaining]).isfinite().all():
                raise TdbenchError(f"{self.run.name}: its errors are not finite: {point}; the training diverged")
            if parts:
                base, td = gradient_noise(self.denoiser, self.formulation, self.td, parts, point.index, noise)
                point = replace(point, noise=base, noise_td=td)
            yield point
