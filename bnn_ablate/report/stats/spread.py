"""Whether one standard deviation fits all cells, which pooling takes for granted."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from bnn_ablate.report.stats.blocks import ROUNDING, Fit

#: Draws of an even spread that the one seen is held against, and how many numbers are held at a time.
DRAWS = 4000
NUMBERS_AT_A_TIME = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Uneven:
    """``cell`` spreads ``ratio`` times as far as the pooled standard deviation; ``p`` of that where spread is even."""

    cell: Hashable
    ratio: float
    p: float


def uneven_spread(fit: Fit, level: float = 0.01) -> Uneven | None:
    """The cell that spreads furthest, where so uneven a spread comes by chance in less than ``level`` of all studies.

    The statistic is the largest variance of a cell's residuals over the pooled one, as in Cochran 1941; its null
    distribution is drawn from this very design with normal errors, so that missing runs and seed blocks are in it.
    None where nothing is uneven, and where it cannot be seen: two cells have mirrored residuals in each seed, whoever
    of them spreads. It misses much: of 8 cells one must spread four times as far as the others to be noticed half the
    time with 3 seeds, and three times with 5.
    """
    if fit.sd is None or fit.sd == 0:
        return None
    # Expected sum of squared residuals of a cell, in error variances; cells of one run have 0 and say nothing.
    counts = fit.observed.sum(axis=1)
    incidence = fit.observed.astype(np.float64)
    shared = incidence @ fit.inverse
    freedom = counts - 1 - incidence @ np.diag(fit.inverse) + (shared * incidence).sum(axis=1) / counts
    telling = freedom > ROUNDING
    if telling.sum() < 2:
        return None

    def largest(residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        squares = (residuals**2).sum(axis=-1)
        ratios = squares[..., telling] / freedom[telling] / (squares.sum(axis=-1, keepdims=True) / fit.df)
        return ratios.max(axis=-1), ratios.argmax(axis=-1)

    seen, place = largest(np.where(fit.observed, fit.residuals, 0.0))
    # RandomState's numbers are the same in every version of numpy; those of newer generators may change.
    source = np.random.RandomState(0)
    batch = max(1, NUMBERS_AT_A_TIME // fit.observed.size)
    as_uneven = 0
    for first in range(0, DRAWS, batch):
        errors = source.standard_normal((min(batch, DRAWS - first), *fit.observed.shape))
        drawn, _ = largest(fit.residuals_of(errors))
        as_uneven += int((drawn >= seen * (1 - ROUNDING)).sum())
    p = (1 + as_uneven) / (1 + DRAWS)
    if p >= level:
        return None
    cells = [cell for cell, tells in zip(fit.cells, telling, strict=True) if tells]
    return Uneven(cell=cells[int(place)], ratio=float(np.sqrt(seen)), p=p)
