"""The table that shows whether samples are copies of training images."""

import pandas as pd

from tdbench.reporting.cells import NOTHING, budget, number, spread
from tdbench.reporting.findings import Findings


def nearest(found: Findings) -> pd.DataFrame:
    """One row for each data set, formulation and objective: the share of samples near an image of the data."""
    return found.nearest


def readable_nearest(table: pd.DataFrame) -> pd.DataFrame:
    """The same table, formatted for people."""
    shares = zip(100 * table.share, 100 * table.share_std, strict=True)
    return pd.DataFrame(
        {
            "data": table.dataset,
            "formulation": table.formulation,
            "objective": table.objective,
            "budget": table.steps.map(budget),
            "samples": table.samples,
            "near an image, %": [spread(mean, std) for mean, std in shares],
            "nearest of all, × near": [NOTHING if pd.isna(x) else number(x, 2) for x in table.nearest],
            "n": table.n,
        }
    )
