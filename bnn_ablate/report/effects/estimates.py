"""The runs of cells as fits, with the images that they got right where these can be compared."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from bnn_ablate.record import Record
from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.layout import Weights
from bnn_ablate.report.stats.blocks import Fit, NotEstimableError, fit
from bnn_ablate.report.stats.estimate import Estimate
from bnn_ablate.report.stats.images import Bits, Images, bits_from_base64, fit_images
from bnn_ablate.report.stats.spread import Uneven, uneven_spread

#: Runs beyond which two things are left out whose cost grows faster than their number: the sample of test images, with
#: a covariance for each pair of runs, and the check of an even spread, which draws the whole study many times.
MOST_RUNS = 500

#: What keeps cells out of one fit: other test images, another version of results, floats in the place of signs.
Difference = Literal["images", "versions", "kind"]
WORDS: dict[Difference, str] = {
    "images": "its cells were tested on different images",
    "versions": "its cells are of different versions of results",
    "kind": "binary and float networks are fitted apart",
}

#: Records by the place of their cell and their seed.
Records = Mapping[tuple[int, int], Record]


class FittedApartError(NotEstimableError):
    """A contrast of cells of several fits, because of a ``difference``."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(WORDS[difference])
        self.difference = difference


@dataclass(frozen=True, kw_only=True)
class Part:
    """Cells of one fit; ``images`` where all runs have the same, else ``without_images``."""

    records: Records
    fit: Fit
    images: Images | None
    #: Why the sample of test images is in no interval, a sentence; None where it is, or where there is no interval.
    without_images: str | None
    #: Where one standard deviation does not fit its cells: each effect is estimated from its own cells alone.
    uneven: Uneven | None

    @cached_property
    def cells(self) -> set[int]:
        """The places of its cells."""
        return {place for place, _ in self.records}

    def of_cells(self, places: frozenset[int]) -> Part:
        """Some of the cells in a fit of their own."""
        return _part(
            {(place, seed): one for (place, seed), one in self.records.items() if place in places}, check=False
        )


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """All done runs, in a fit for each kind of network, set of test images and version of results.

    Float and binary networks do not spread alike, and a difference between cells on different images is one of images.
    """

    parts: tuple[Part, ...]
    #: What a cell with runs has in common with the other cells of its part, by place.
    origins: Mapping[int, Mapping[Difference, Hashable]]
    _alone: dict[frozenset[int], Part] = field(default_factory=dict, compare=False, repr=False)

    @property
    def fit(self) -> Fit | None:
        """The fit of the first cell that has runs; None without any."""
        return self.parts[0].fit if self.parts else None

    def part_of(self, place: int) -> Part | None:
        """The part in which a cell is; None where it has no run."""
        return next((part for part in self.parts if place in part.cells), None)

    def fit_of(self, weights: Weights) -> Fit:
        """The fit from which a contrast of cells, by their place, is estimated. Raises NotEstimableError."""
        return self._part(weights).fit

    def estimate(self, weights: Weights) -> Estimate:
        """A contrast of cells, by their place. Raises NotEstimableError.

        With a cell of a single run it has no interval, even where other cells tell how far chance moves a run.
        """
        estimate = self.fit_of(weights).contrast(_by_cell(weights))
        return replace(estimate, se=None, df=None) if estimate.n == 1 else estimate

    def with_images(self, weights: Weights) -> Estimate | None:
        """The same with the sample of test images in its standard error, where an interval without it is known."""
        images = self._part(weights).images
        if images is None or self.estimate(weights).se is None:
            return None
        return images.contrast(_by_cell(weights))

    def _part(self, weights: Weights) -> Part:
        places = frozenset(weights)
        for place in sorted(places - self.origins.keys()):
            raise NotEstimableError(f"there is no run of {place}")
        for difference in WORDS:
            if len({self.origins[place][difference] for place in places}) > 1:
                raise FittedApartError(difference)
        (part,) = (part for part in self.parts if places <= part.cells)
        if part.uneven is None:
            return part
        if places not in self._alone:
            self._alone[places] = part.of_cells(places)
        return self._alone[places]


def _by_cell(weights: Weights) -> dict[Hashable, float]:
    return dict(weights.items())


def estimator_of(cells: Sequence[Cell]) -> Estimator:
    """One observation a cell and seed, top-1 in percent; two records of one cell and seed count once, the first one."""
    parts: dict[tuple[Hashable, ...], dict[tuple[int, int], Record]] = {}
    origins: dict[int, Mapping[Difference, Hashable]] = {}
    for place, cell in enumerate(cells):
        if cell.records:
            origins[place] = _origin(cell)
            records = parts.setdefault(tuple(origins[place].values()), {})
            for record in cell.records:
                records.setdefault((place, record.seed), record)
    return Estimator(parts=tuple(_part(records, check=True) for records in parts.values()), origins=origins)


def images_of(cell: Cell) -> frozenset[tuple[str, int]]:
    """The sets of test images that its runs had, by checksum and number: one, unless something is amiss."""
    return frozenset((record.data.checksum, record.accuracy.num_images) for record in cell.records)


def _origin(cell: Cell) -> Mapping[Difference, Hashable]:
    return {
        "images": images_of(cell),
        "versions": frozenset(record.results_version for record in cell.records),
        "kind": cell.is_float,
    }


def _part(records: Records, *, check: bool) -> Part:
    fitted = fit((place, seed, 100 * record.accuracy.top1) for (place, seed), record in records.items())
    images, without_images, uneven = None, None, None
    if fitted.sd is not None:
        if len(records) > MOST_RUNS:
            without_images = f"More than {MOST_RUNS} runs: intervals are over seeds, and the spread is not checked."
        elif len({(record.data.checksum, record.accuracy.num_images) for record in records.values()}) > 1:
            without_images = "The runs were not all tested on the same images: intervals are over seeds only."
        else:
            images = fit_images(fitted, _bits(records))
        if check and len(records) <= MOST_RUNS:
            uneven = uneven_spread(fitted)
    return Part(records=records, fit=fitted, images=images, without_images=without_images, uneven=uneven)


def _bits(records: Records) -> dict[tuple[Hashable, Hashable], Bits]:
    return {
        (place, seed): bits_from_base64(record.accuracy.correct_bits, record.accuracy.num_images)
        for (place, seed), record in records.items()
    }
