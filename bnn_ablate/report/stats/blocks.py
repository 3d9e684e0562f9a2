"""Cells and seeds by least squares: the one model from which every mean and every contrast of a study comes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.report.stats.estimate import Estimate

Array = NDArray[np.float64]

#: Below this share of the largest value a spread is the rounding of floats: one image of 50,000 is 20,000 times more.
ROUNDING = 1e-9


class NotEstimableError(ValueError):
    """The runs there are cannot tell this contrast from the choice of seeds; the message says which cells are apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """value[cell, seed] = mean[cell] + effect[seed] + error, by ordinary least squares over the runs that exist.

    Cells are saturated: each has a mean of its own, so that simple effects, main effects and interactions are all
    contrasts of cell means. A seed moves all cells alike (a block); errors are independent and equally spread in all
    cells, with the pooled standard deviation ``sd`` on ``df`` degrees of freedom. ``sd`` is None where ``df`` is 0, and
    0 where the runs differ by less than rounding. Matrices have a row a cell and a column a seed.
    """

    cells: tuple[Hashable, ...]
    seeds: tuple[Hashable, ...]
    observed: NDArray[np.bool_]
    #: NaN where there is no run.
    values: Array
    residuals: Array
    sd: float | None
    df: int
    #: Mean of each cell at the average seed of its group.
    _means: Array
    #: Cells that a chain of runs connects have one number.
    _cell_groups: NDArray[np.int64]
    #: Of the equations of the seeds' effects, which sum to 0 in each group; a row and a column a seed.
    inverse: Array

    def contrast(self, weights: Mapping[Hashable, float]) -> Estimate:
        """The sum of weight x mean over cells; the weights sum to 0. Seeds cancel, also where runs are missing.

        Raises NotEstimableError where a cell has no run, or where the weights do not sum to 0 among the cells that
        shared seeds connect: then a difference of cells cannot be told from one of seeds.
        """
        row = self._row(weights)
        if not np.any(row):
            raise ValueError("a contrast needs a weight that is not 0")
        tolerance = ROUNDING * float(np.abs(row).sum())
        if abs(row.sum()) > tolerance:
            raise ValueError(f"the weights of a contrast sum to 0, not to {row.sum():g}")
        for group in np.unique(self._cell_groups[row != 0]):
            inside = (self._cell_groups == group) & (row != 0)
            if abs(row[inside].sum()) > tolerance:
                here = ", ".join(str(self.cells[i]) for i in np.flatnonzero(inside))
                there = ", ".join(str(self.cells[i]) for i in np.flatnonzero((row != 0) & ~inside))
                raise NotEstimableError(f"no chain of shared seeds connects {here} with {there}")
        value = float(row @ self._means)
        runs = int(self.observed.sum(axis=1)[row != 0].min())
        if self.sd is None:
            return Estimate(value=value, se=None, df=None, n=runs)
        run_weights = self.run_weights(weights)
        return Estimate(value=value, se=self.sd * sqrt(float((run_weights**2).sum())), df=self.df, n=runs)

    def run_weights(self, weights: Mapping[Hashable, float]) -> Array:
        """The weight of each run in the estimate: its value is their sum of products with the runs' values."""
        counts = self.observed.sum(axis=1)
        share = self._row(weights) / counts
        of_seeds = self.inverse @ (self.observed.T @ share)
        of_cells = share + (self.observed @ of_seeds) / counts
        return np.where(self.observed, of_cells[:, None] - of_seeds[None, :], 0.0)

    def residuals_of(self, values: Array) -> Array:
        """Residuals of other values of the same runs, in the last two axes; 0 where this fit has no run."""
        return _solve(self.observed.astype(np.float64), self.inverse, values)[1]

    def _row(self, weights: Mapping[Hashable, float]) -> Array:
        places = {cell: place for place, cell in enumerate(self.cells)}
        row = np.zeros(len(self.cells))
        for cell, weight in weights.items():
            if weight != 0 and cell not in places:
                raise NotEstimableError(f"there is no run of {cell}")
            if weight != 0:
                row[places[cell]] = weight
        return row


def fit(observations: Iterable[tuple[Hashable, Hashable, float]]) -> Fit:
    """Fit (cell, seed, value) of every run there is; missing runs need no mention.

    Raises ValueError without any run, for a value that is not finite, and for two values of one cell and seed: the same
    setting and seed make the same run, so that something differs there that the cells do not tell.
    """
    runs: dict[tuple[Hashable, Hashable], float] = {}
    for cell, seed, value in observations:
        if (cell, seed) in runs:
            raise ValueError(f"cell {cell} has two runs of seed {seed}")
        if not isfinite(value):
            raise ValueError(f"cell {cell} has the value {value} at seed {seed}")
        runs[cell, seed] = value
    if not runs:
        raise ValueError("there is no run to fit")
    cells = {cell: place for place, cell in enumerate(dict.fromkeys(cell for cell, _ in runs))}
    seeds = {seed: place for place, seed in enumerate(dict.fromkeys(seed for _, seed in runs))}
    values = np.full((len(cells), len(seeds)), np.nan)
    for (cell, seed), value in runs.items():
        values[cells[cell], seeds[seed]] = value
    return _least_squares(tuple(cells), tuple(seeds), values)


def _least_squares(cells: tuple[Hashable, ...], seeds: tuple[Hashable, ...], values: Array) -> Fit:
    """Cells are eliminated, which leaves one equation a seed; their effects sum to 0 in each group of cells and seeds.

    The rank needs no tolerance: it is cells + seeds - groups, and the groups are counted.
    """
    observed = np.isfinite(values)
    incidence = observed.astype(np.float64)
    counts = incidence.sum(axis=1)
    cell_groups, seed_groups = _groups(observed)
    num_groups = int(seed_groups.max()) + 1

    same_group = seed_groups[:, None] == seed_groups[None, :]
    normal = np.diag(incidence.sum(axis=0)) - incidence.T @ (incidence / counts[:, None])
    inverse = np.linalg.inv(normal + same_group / same_group.sum(axis=1))

    origin = float(values[observed].mean())
    centred = np.where(observed, values - origin, 0.0)
    means, residuals = _solve(incidence, inverse, centred)

    df = int(observed.sum()) - len(cells) - len(seeds) + num_groups
    rounding = (ROUNDING * float(np.abs(values[observed]).max())) ** 2
    ms_error = float((residuals**2).sum()) / df if df else None
    return Fit(
        cells=cells,
        seeds=seeds,
        observed=observed,
        values=values,
        residuals=np.where(observed, residuals, np.nan),
        sd=None if ms_error is None else sqrt(ms_error) if ms_error > rounding else 0.0,
        df=df,
        _means=means + origin,
        _cell_groups=cell_groups,
        inverse=inverse,
    )


def _solve(incidence: Array, inverse: Array, values: Array) -> tuple[Array, Array]:
    """Means of the cells, and residuals; ``values`` may have axes in front."""
    counts = incidence.sum(axis=1)
    cell_means = (incidence * values).sum(axis=-1) / counts
    of_seeds = (incidence * (values - cell_means[..., None])).sum(axis=-2)
    effects = of_seeds @ inverse
    means = cell_means - (effects @ incidence.T) / counts
    residuals = incidence * (values - means[..., None] - effects[..., None, :])
    return means, residuals


def _groups(observed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers from 0 for each row and column: equal where a chain of runs leads from one to the other."""
    rows = np.full(observed.shape[0], -1)
    columns = np.full(observed.shape[1], -1)
    group = 0
    for first in range(observed.shape[1]):
        if columns[first] >= 0:
            continue
        reached = np.arange(observed.shape[1]) == first
        while True:
            of_rows = observed[:, reached].any(axis=1)
            wider = observed[of_rows].any(axis=0)
            if (wider == reached).all():
                break
            reached = wider
        rows[of_rows], columns[reached] = group, group
        group += 1
    return rows, columns
