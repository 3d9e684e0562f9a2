"""Studies drawn from a known truth, and what statistics should find in them by theory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.report.stats.blocks import fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.images import Images, fit_images

Array = NDArray[np.float64]

#: Two options on each of three axes, and the contrasts that a study of them reports.
CUBE: tuple[tuple[int, ...], ...] = tuple(itertools.product((0, 1), repeat=3))
SIMPLE: dict[Hashable, float] = {(1, 0, 0): 1.0, (0, 0, 0): -1.0}
MAIN: dict[Hashable, float] = {cell: (2 * cell[0] - 1) / 4 for cell in CUBE}

#: Seeds a cell that the tables of docs/STATISTICS.md have.
SEEDS = (2, 3, 5, 10)

#: A share found in draws may be this many of its binomial standard errors from the truth: one test in 16,000 is wrong.
SIGMAS = 4.0


def draw(
    cells: int, seeds: int, draws: int, *, sd: float, sd_seeds: float = 1.0, means: Iterable[float] = (), source: int
) -> Array:
    """(draws, cells, seeds) of mean + effect of the seed + error, in points."""
    chance = np.random.default_rng(source)
    levels = np.zeros(cells)
    given = list(means)
    levels[: len(given)] = given
    of_seeds = sd_seeds * chance.standard_normal((draws, 1, seeds))
    return 90 + levels[:, None] + of_seeds + sd * chance.standard_normal((draws, cells, seeds))


def estimates(
    cells: Iterable[Hashable],
    values: Array,
    contrasts: Iterable[Mapping[Hashable, float]],
    missing: Array | None = None,
) -> list[list[Estimate]]:
    """Each contrast in each draw, as Fit.contrast gives it; fast, as the design is solved once."""
    names = list(cells)
    there = np.ones(values.shape[1:], dtype=bool) if missing is None else ~missing.astype(bool)
    design = fit((names[c], s, float(values[0, c, s])) for c, s in zip(*np.nonzero(there), strict=True))
    columns = list(design.seeds)
    ordered = values[:, :, columns]
    sds = np.sqrt((design.residuals_of(ordered) ** 2).sum(axis=(1, 2)) / design.df)
    found = []
    for weights in contrasts:
        of_runs = design.run_weights(weights)
        n = design.contrast(weights).n
        sums = (of_runs * ordered).sum(axis=(1, 2))
        size = sqrt(float((of_runs**2).sum()))
        found.append(
            [
                Estimate(value=float(value), se=float(sd) * size, df=design.df, n=n)
                for value, sd in zip(sums, sds, strict=True)
            ]
        )
    return found


def share(verdicts: Iterable[bool]) -> float:
    return float(np.mean(list(verdicts)))


def tolerance(expected: float, draws: int) -> float:
    return SIGMAS * sqrt(max(expected * (1 - expected), 1 / draws) / draws)


def covers(estimate: Estimate, truth: float, level: float = 0.95) -> bool:
    interval = estimate.interval(level)
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def chance_of(region: Callable[[Array], tuple[Array, Array]], truth: float, se: float, df: int) -> float:
    """Probability that a normal estimate lies in ``region`` of its own standard error, by quadrature over the latter.

    Another way than the simulated one: the standard error is se sqrt(chi-square / df), independent of the estimate.
    """
    from scipy.special import chdtri, ndtr

    quantiles = (np.arange(20_000) + 0.5) / 20_000
    errors = se * np.sqrt(chdtri(df, quantiles) / df)
    low, high = region(errors)
    return float(np.maximum(ndtr((high - truth) / se) - ndtr((low - truth) / se), 0).mean())


def draw_images(
    thresholds: Mapping[Hashable, float], seeds: int, images: int, chance: np.random.Generator, *, sd_runs: float
) -> Images:
    """A study with new seeds and new images: an image is right where a sum of normal variables passes the threshold.

    Images differ in difficulty (variance 1), suit one cell more than another (1), and every run has its luck with
    all (``sd_runs`` squared) and with each image (0.5). A cell's true accuracy is the normal distribution function of
    its threshold over the root of the sum of these variances.
    """
    difficulty = chance.standard_normal(images)
    bits = {}
    for cell, threshold in thresholds.items():
        suited = difficulty + chance.standard_normal(images)
        for seed in range(seeds):
            luck = sd_runs * chance.standard_normal() + sqrt(0.5) * chance.standard_normal(images)
            bits[cell, seed] = suited + luck + threshold > 0
    return fit_images(fit((cell, seed, 100 * float(right.mean())) for (cell, seed), right in bits.items()), bits)


def true_accuracy(threshold: float, sd_runs: float) -> float:
    """In percent, of a cell of ``draw_images``."""
    from scipy.special import ndtr

    return 100 * float(ndtr(threshold / sqrt(1 + 1 + 0.5 + sd_runs**2)))
