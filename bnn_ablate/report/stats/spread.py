"""Whether one standard deviation fits all cells, which pooling takes for granted."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bnn_ablate.report.stats.blocks import ROUNDING, Array, Fit, fit

#: Draws of an even spread that the one seen is held against, and how many numbers are held at a time.
DRAWS = 4000
NUMBERS_AT_A_TIME = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Uneven:
    """``cell`` spreads ``ratio`` times as far as the pooled standard deviation; ``p`` of that where spread is even."""

    cell: Hashable
    ratio: float
    p: float


def uneven_spread(fitted: Fit, level: float = 0.01) -> Uneven | None:
    """The cell that spreads furthest, where so uneven a spread comes by chance in less than ``level`` of all studies.

    The statistic is the largest variance of a cell's residuals over the pooled one, as in Cochran 1941; its null
    distribution is drawn from this very design with normal errors, so that missing runs and seed blocks are in it.
    None where nothing is uneven, and where it cannot be seen: two cells have mirrored residuals in each seed, whoever
    of them spreads. It misses much: of 8 cells one must spread four times as far as the others to be noticed half the
    time with 3 seeds, and three times with 5.
    """
    if fitted.sd is None or fitted.sd == 0:
        return None
    freedom = _freedom(fitted)
    telling = freedom > ROUNDING
    if telling.sum() < 2:
        return None
    shares = _shares(fitted, np.where(fitted.observed, fitted.residuals, 0.0))
    seen = float(shares.max())
    drawn = _largest_by_chance(fitted.observed.tobytes(), fitted.observed.shape)
    p = (1 + int((drawn >= seen * (1 - ROUNDING)).sum())) / (1 + DRAWS)
    if p >= level:
        return None
    cells = [cell for cell, tells in zip(fitted.cells, telling, strict=True) if tells]
    return Uneven(cell=cells[int(shares.argmax())], ratio=float(np.sqrt(seen)), p=p)


def _freedom(fitted: Fit) -> Array:
    """Expected sum of squared residuals of a cell, in error variances; cells of one run have 0 and say nothing."""
    counts = fitted.observed.sum(axis=1)
    incidence = fitted.observed.astype(np.float64)
    shared = incidence @ fitted.inverse
    freedom: Array = counts - 1 - incidence @ np.diag(fitted.inverse) + (shared * incidence).sum(axis=1) / counts
    return freedom


def _shares(fitted: Fit, residuals: Array) -> Array:
    """The variance of the residuals of each cell that says something over the pooled one, in the last axis."""
    freedom = _freedom(fitted)
    telling = freedom > ROUNDING
    squares = (residuals**2).sum(axis=-1)
    shares: Array = squares[..., telling] / freedom[telling] / (squares.sum(axis=-1, keepdims=True) / fitted.df)
    return shares


@lru_cache(maxsize=64)
def _largest_by_chance(observed: bytes, shape: tuple[int, int]) -> Array:
    """The largest share in each of DRAWS studies of this design whose errors are normal and evenly spread.

    Studies of one design are many, so that what was drawn is kept.
    """
    there = np.frombuffer(observed, dtype=np.bool_).reshape(shape)
    design = fit((int(cell), int(seed), 0.0) for cell, seed in np.argwhere(there))
    # RandomState's numbers are the same in every version of numpy; those of newer generators may change.
    source = np.random.RandomState(0)
    batch = max(1, NUMBERS_AT_A_TIME // there.size)
    largest = []
    for first in range(0, DRAWS, batch):
        errors = source.standard_normal((min(batch, DRAWS - first), *shape))
        largest.append(_shares(design, design.residuals_of(errors)).max(axis=-1))
    return np.concatenate(largest)
