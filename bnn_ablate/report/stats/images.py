"""The part of chance that lies in the sample of test images, beside the part that lies in the seeds."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.report.stats.blocks import Fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.student import LEVEL, t_quantile

Bits = NDArray[np.bool_]

#: A right image counts 100 points, so that a run's mean is its accuracy in percent.
POINTS = 100.0


def bits_from_base64(text: str, num_images: int) -> Bits:
    """``Accuracy.correct_bits`` of a record as an array; ValueError where it does not hold ``num_images`` bits."""
    content = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if len(content) != -(-num_images // 8):
        raise ValueError(f"{len(content)} bytes do not hold one bit for each of {num_images} images")
    return np.unpackbits(content, count=num_images).astype(np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """A fit with the right and wrong images of its runs, as the covariances between runs over images, in points^2.

    Model: bit[cell, seed, image] = mean[cell] + run[cell, seed] + image[cell, image] + rest[cell, seed, image], all
    random but the means; ``rest`` may correlate between runs that share a seed, ``image`` between cells. A contrast's
    variance is then that over seeds (pooled, from the fit: it holds the share of ``rest`` already) plus the variance of
    the contrast's image effects over the number of images. The latter is the variance over images of the contrast of
    each image, less what ``rest`` adds to it: in a complete design (MS images - MS rest) / (seeds x images) of the
    two-way analysis of variance of seeds x images; with missing runs ``rest`` is scaled by n / (n - 1) in each cell.
    Negative parts count as 0.

    Degrees of freedom are such that the squares of the two parts' half-widths add up at 95 % (Zou and Donner 2008,
    Statistics in Medicine 27), so that images never narrow an interval. Satterthwaite's are more, and where seeds leave
    only one or two its interval covers 88 to 95 %.
    """

    fit: Fit
    num_images: int
    #: Over images, between runs in the order of the fit's cells and, within one, its seeds.
    _covariance: NDArray[np.float64]
    #: The same of what a run has beyond its cell's other runs, only between runs that share a seed.
    _rest: NDArray[np.float64]

    def contrast(self, weights: Mapping[Hashable, float]) -> Estimate | None:
        """The fit's contrast with a standard error that covers seeds and images.

        None where the seeds' part is not known (nothing repeats) or no spread was seen: images cannot stand in for it.
        In a cell with one run nothing of ``rest`` can be told from image effects: the interval errs on the wide side.
        Raises what Fit.contrast raises.
        """
        over_seeds = self.fit.contrast(weights)
        if over_seeds.se is None or over_seeds.df is None or over_seeds.no_spread:
            return None
        of_runs = self.fit.run_weights(weights)[self.fit.observed]
        spread = float(of_runs @ self._covariance @ of_runs) / self.num_images
        rest = float(of_runs @ self._rest @ of_runs) / self.num_images
        if spread <= rest:
            return over_seeds
        se = sqrt(over_seeds.se**2 + spread - rest)
        return Estimate(
            value=over_seeds.value, se=se, df=self._freedom(over_seeds.se, over_seeds.df, se), n=over_seeds.n
        )

    def _freedom(self, se_seeds: float, df_seeds: float, se: float) -> float:
        from scipy.special import stdtridf

        upper = (1 + LEVEL) / 2
        of_seeds = t_quantile(df_seeds, upper) ** 2 * se_seeds**2
        of_images = t_quantile(self.num_images - 1, upper) ** 2 * (se**2 - se_seeds**2)
        return float(stdtridf(upper, sqrt(of_seeds + of_images) / se))


def fit_images(fit: Fit, bits: Mapping[tuple[Hashable, Hashable], Bits]) -> Images:
    """``bits`` by (cell, seed): one bit an image, in one order of images for all, for every run of the fit.

    The fit is of accuracies in percent. Raises ValueError where bits are missing, their numbers differ, or their mean
    is not the fit's value.
    """
    places = [(int(row), int(column)) for row, column in np.argwhere(fit.observed)]
    names = [(fit.cells[row], fit.seeds[column]) for row, column in places]
    for name, place in zip(names, places, strict=True):
        if name not in bits:
            raise ValueError(f"the right and wrong images of cell {name[0]}, seed {name[1]} are missing")
        if len(bits[name]) != len(bits[names[0]]) or len(bits[name]) < 2:
            raise ValueError(f"cell {name[0]}, seed {name[1]} has {len(bits[name])} images, not {len(bits[names[0]])}")
        if abs(POINTS * float(bits[name].mean()) - fit.values[place]) > 1e-6:
            raise ValueError(
                f"the right images of cell {name[0]}, seed {name[1]} do not make {fit.values[place]} percent"
            )
    # Sums of up to 2^24 ones are exact in float32, and its product is twice as fast.
    right = np.stack([bits[name] for name in names]).astype(np.float32)
    num_images = right.shape[1]
    shared = (right @ right.T).astype(np.float64)
    sums = np.diag(shared)
    covariance = POINTS**2 * (shared - np.outer(sums, sums) / num_images) / (num_images - 1)

    rows = np.array([row for row, _ in places])
    columns = np.array([column for _, column in places])
    same_cell = rows[:, None] == rows[None, :]
    runs = same_cell.sum(axis=1)
    scale = np.where(runs > 1, np.sqrt(runs / np.maximum(runs - 1, 1)), 0.0)
    beyond_cell = scale[:, None] * (np.eye(len(rows)) - same_cell / runs[:, None])
    rest = (beyond_cell @ covariance @ beyond_cell.T) * (columns[:, None] == columns[None, :])
    return Images(fit=fit, num_images=num_images, _covariance=covariance, _rest=rest)
