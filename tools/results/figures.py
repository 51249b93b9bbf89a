"""The pictures of README and docs that are drawn from reference results; each holds the checksum of its figures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from tdbench.records.floor import Floor, Spread
from tdbench.records.reference_results import RECORD, REFERENCES
from tdbench.reporting.curve_figures import draw_curves
from tdbench.reporting.figures import fid_against_nfe
from tdbench.reporting.tables import objectives
from tdbench.runtime.files import sha256
from tools.results.kept import Kept

_CHECKSUM = "Drawn-from"
_DPI = 110


def curves(kept: Kept, steps: int | None = None) -> Figure:
    """The curves of the first data set and formulation that has some, at one step budget or at all of them."""
    table = kept.table("curves")
    table = table if steps is None else table[table.steps == steps]
    first = table.iloc[0]
    rows = table[(table.dataset == first.dataset) & (table.formulation == first.formulation)]
    return draw_curves(
        rows.assign(passes=rows.passes / 1e3),
        objectives(kept.plan),
        _floors(kept, str(first.dataset)),
        f"{kept.name}, {first.formulation}: scores in the course of training",
    )


def _floors(kept: Kept, dataset: str) -> dict[int, Floor]:
    table = kept.table("floor")
    found = {}
    for row in table[table.dataset == dataset].itertuples():
        data = None if pd.isna(row.data_mean) else Spread(mean=row.data_mean, std=row.data_std, draws=row.draws)
        normal = Spread(mean=row.normal_mean, std=row.normal_std, draws=row.draws)
        found[int(row.samples)] = Floor(
            library=row.library, samples=row.samples, images=row.images, normal=normal, data=data
        )
    return found


def against_nfe(kept: Kept) -> Figure:
    """The leading metric against NFE, and the paired differences."""
    labels = {name: name for name in objectives(kept.plan)}
    return fid_against_nfe(kept.per_run, labels, f"{kept.name}: FID against NFE")


FIGURES: dict[str, tuple[str, str, Callable[[Kept], Figure]]] = {
    "docs/images/curves-patches.png": ("patches", "tables/curves.csv", partial(curves, steps=6)),
    "docs/images/curves-cifar10-tiny.png": ("cifar10-tiny", "tables/curves.csv", curves),
    "docs/images/fid-against-nfe.png": ("digits", "scores.csv", against_nfe),
}
"""Picture -> experiment, the file of its reference results that the picture shows, and what draws it."""


def stale(root: Path) -> dict[Path, Callable[[], None]]:
    """Pictures that are missing or show other figures -> what draws them anew."""
    found: dict[Path, Callable[[], None]] = {}
    for name, (experiment, file, draw) in FIGURES.items():
        folder, path = root / REFERENCES / experiment, root / name
        if (folder / RECORD).is_file() and _drawn_from(path) != (wanted := sha256(folder / file)):
            found[path] = partial(_write, path, folder, draw, wanted)
    return found


def _drawn_from(path: Path) -> str | None:
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return image.info.get(_CHECKSUM)


def _write(path: Path, folder: Path, draw: Callable[[Kept], Figure], checksum: str) -> None:
    figure = draw(Kept(folder))
    figure.savefig(path, dpi=_DPI, metadata={_CHECKSUM: checksum})
    plt.close(figure)
