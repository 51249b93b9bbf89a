"""The mechanism of the temporal difference as a table and in a sentence: variance, what is removed, what it costs."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from tdbench.diffusion.mechanism import td_at_the_end
from tdbench.diffusion.objectives.base import Objective
from tdbench.diffusion.objectives.schedules import constant
from tdbench.diffusion.objectives.td import TD
from tdbench.experiment.run import Run
from tdbench.reporting.cells import NOTHING, Cell, fixed, number
from tdbench.reporting.collect import MECHANISM_MEASURED, MECHANISM_NOISE, PLACE
from tdbench.reporting.findings import Findings


def mechanism_table(found: Findings) -> pd.DataFrame:
    """`summarised` of the comparison."""
    return summarised(found.mechanism)


def summarised(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at each time.

    Returns
    -------
    DataFrame
        With ``remaining_std``, the standard deviation over seeds, ``noise`` and ``noise_td``, the trace of the
        gradient's covariance over its squared mean (ratios of the means over seeds; NaN where the mean gradient is lost
        in the noise), and ``n`` seeds.
    """
    groups = rows.groupby([*PLACE, "index"], sort=False)
    means = groups[["noise_level", "share", "valid", "batch_size", *MECHANISM_MEASURED, *MECHANISM_NOISE]].mean()
    means.insert(list(means).index("remaining") + 1, "remaining_std", groups["remaining"].std())
    for name in ("noise", "noise_td"):
        mean = means.pop(f"{name}_mean")
        means[name] = means.pop(f"{name}_variance") / mean.where(mean > 0)
    return means.assign(n=groups["seed"].count()).reset_index()


def readable_mechanism(table: pd.DataFrame) -> pd.DataFrame:
    """The mechanism, formatted for people."""
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "weights of": table.objective,
            "σ/α": [number(value, 3) for value in table.noise_level],
            "share of training": [percent(value) for value in table.share],
            "var(e)/c_out²": [number(value, 3) for value in table.variance],
            "corr(e, e')": [fixed(value, 2) for value in table.correlation],
            "β": [fixed(value, 2) for value in table.beta],
            "best β": [fixed(value, 2) for value in table.best_beta],
            "var(e − βe')/var(e)": [
                fixed(mean, 2) if math.isnan(std) else Cell(f"{mean:.2f} ± {std:.2g}", mean)
                for mean, std in zip(table.remaining, table.remaining_std, strict=True)
            ],
            "size": [fixed(value, 2) for value in table["size"]],
            "target's lag": [_known(value) for value in table.lag],
            "gradient noise, baseline": [_known(value) for value in table.noise],
            "gradient noise, TD": [_known(value) for value in table.noise_td],
            "n": table.n,
        }
    )


def percent(share: float) -> Cell:
    """``12 %``; two digits."""
    return Cell(f"{number(100 * share, 2)} %", share)


def _known(value: float) -> Cell:
    return NOTHING if math.isnan(value) else number(value, 3)


class Balance(NamedTuple):
    """What a temporal difference does, as shares of the variance of the gradient, over all training times."""

    low: float
    high: float
    """Noise levels between which the middle half of the variance lies."""
    removed: float
    """Share of the variance that it removes."""
    lag: float
    """E ||beta (D - D')||^2 as a share of the variance; NaN where it was not measured."""


def balance(rows: pd.DataFrame) -> Balance:
    """The balance over the times of one or more runs with the same times.

    Parameters
    ----------
    rows : DataFrame
        Of `summarised`, of one data set, formulation and objective.
    """
    weight = (rows.share * rows.variance).to_numpy(float)
    total = weight.sum()
    levels = rows.noise_level.to_numpy(float)
    order = np.argsort(levels)
    cumulated, levels = weight[order].cumsum() / total, levels[order]
    low, high = (float(levels[int((cumulated >= quarter - 1e-9).argmax())]) for quarter in (0.25, 0.75))
    paired = weight * rows.valid.to_numpy(float)
    removed = float((paired * (1 - rows.remaining)).sum() / total)
    lag = float((paired * rows.beta**2 * rows.lag).sum(skipna=False) / total)
    return Balance(low, high, removed, lag)


def sentence(rows: pd.DataFrame, td: TD, target: str) -> str:
    """Where the variance is, what the temporal difference removes of it, and what its target's lag costs.

    Parameters
    ----------
    rows : DataFrame
        Of `summarised`, of one data set, formulation and objective.
    td : TD
        The settings that were asked about.
    target : str
        How its target follows, in words.
    """
    found, batch = balance(rows), int(rows.batch_size.iloc[0])
    less = "removes" if found.removed >= 0 else "adds"
    said = (
        f"Half of the gradient's variance lies at noise levels σ/α from {number(found.low, 2)} to "
        f"{number(found.high, 2)}. TD with λ = {constant(td.lambda_, 'lambda'):g}, k = {td.span:g}, Δ = {td.stride:g} "
        f"{less} {percent(abs(found.removed))} of it. "
    )
    if math.isnan(found.lag):
        return said + "How far its target lags is unknown: the training kept no target that follows like this one."
    gain = max(found.removed, 0) / batch
    price = (
        f"Its target ({target}) lags by {percent(found.lag)} of the variance. A batch of {batch} divides the variance, "
        f"and not the lag: in a step {percent(gain)} are removed and {percent(found.lag)} added, so "
    )
    if found.lag > gain:
        return (
            f"{said}{price}the lag costs more than is removed: expect no gain while the network still moves this fast."
        )
    return f"{said}{price}more is removed than the lag costs: a gain is possible if it shows in the samples."


def sentences(found: Findings) -> dict[str, str]:
    """``data, formulation, weights of objective`` -> sentence, for all weights whose mechanism was measured."""
    table, said = mechanism_table(found), {}
    asked = {", ".join((r.dataset_name, r.formulation_name, r.objective_name)): r for r in found.plan.comparison}
    for place, rows in table.groupby(PLACE, sort=False):
        name = ", ".join(map(str, place))
        run = asked[name]
        assert run.mechanism_td is not None
        said[name] = sentence(rows, *late(run, run.mechanism_td))
    return said


def late(run: Run, objective: Objective) -> tuple[TD, str]:
    """A temporal difference with Markov pairs as it is at the end of training, and its target in words."""
    td = td_at_the_end(objective, run.last_share)
    assert td is not None
    settings = td.target.model_dump(mode="json", by_alias=True)
    return td, " ".join(str(value) for value in settings.values())
