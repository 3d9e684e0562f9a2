"""The runs of a study's cells as a fit, with the images that they got right where these can be compared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from bnn_ablate.record import Record
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.layout import Weights
from bnn_ablate.report.stats.blocks import Fit, fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.images import Bits, Images, bits_from_base64, fit_images

#: Runs beyond which two things are left out whose cost grows faster than their number: the sample of test images, with
#: a covariance for each pair of runs, and the check of an even spread, which draws the whole study many times.
MOST_RUNS = 500


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """``fit`` over all done runs, None without any; ``images`` where all have the same, else ``without_images``."""

    fit: Fit | None
    images: Images | None
    #: Why the sample of test images is in no interval, a sentence; None where it is, or where there is no interval.
    without_images: str | None

    def estimate(self, weights: Weights) -> Estimate:
        """A contrast of cells, by their place. Raises NotEstimableError.

        A difference from a single run has no interval, even where other cells tell how far chance moves a run.
        """
        assert self.fit is not None  # a contrast is asked of cells that have runs
        estimate = self.fit.contrast(_by_cell(weights))
        alone = estimate.n == 1 and len(weights) == 2
        return replace(estimate, se=None, df=None) if alone else estimate

    def with_images(self, weights: Weights) -> Estimate | None:
        """The same with the sample of test images in its standard error, where an interval without it is known."""
        if self.images is None or self.estimate(weights).se is None:
            return None
        return self.images.contrast(_by_cell(weights))


def _by_cell(weights: Weights) -> dict[Hashable, float]:
    return dict(weights.items())


def estimator_of(cells: Sequence[Cell]) -> Estimator:
    """One observation a cell and seed, top-1 in percent; two records of one cell and seed count once, the first one."""
    records: dict[tuple[int, int], Record] = {}
    for place, cell in enumerate(cells):
        for record in cell.records:
            records.setdefault((place, record.seed), record)
    if not records:
        return Estimator(fit=None, images=None, without_images=None)
    fitted = fit((place, seed, 100 * record.accuracy.top1) for (place, seed), record in records.items())
    if fitted.sd is None:
        return Estimator(fit=fitted, images=None, without_images=None)
    if len({(record.data.checksum, record.accuracy.num_images) for record in records.values()}) > 1:
        return Estimator(
            fit=fitted,
            images=None,
            without_images="The runs were not all tested on the same images: intervals are over seeds only.",
        )
    if len(records) > MOST_RUNS:
        return Estimator(
            fit=fitted,
            images=None,
            without_images=f"More than {MOST_RUNS} runs: intervals are over seeds, and the spread is not checked.",
        )
    bits: dict[tuple[Hashable, Hashable], Bits] = {
        (place, seed): bits_from_base64(record.accuracy.correct_bits, record.accuracy.num_images)
        for (place, seed), record in records.items()
    }
    return Estimator(fit=fitted, images=fit_images(fitted, bits), without_images=None)
