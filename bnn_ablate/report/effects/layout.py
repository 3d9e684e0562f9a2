"""The cells of a study as points of a grid: which axes vary, where the baseline lies, which cells a contrast needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from bnn_ablate.analysis import same_option
from bnn_ablate.report.labels import UNKNOWN
from bnn_ablate.report.tables import Table

#: The options of a cell, one an axis.
Point = tuple[str, ...]
#: Weights of cells, by their place in the table.
Weights = dict[int, float]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """``axes`` vary, with their options in the order of the study; ``cells`` has the place of the cell at a point.

    ``unknown`` are the places of cells of which no file says all options, ``repeated`` those of cells at a point that
    an earlier cell has; both are in no effect.
    """

    axes: Mapping[str, tuple[str, ...]]
    baseline: Mapping[str, str]
    cells: Mapping[Point, int]
    unknown: tuple[int, ...]
    repeated: tuple[int, ...]

    @property
    def origin(self) -> Point:
        """The point of the baseline; whether a cell lies there is another question."""
        return tuple(self.baseline.values())

    @property
    def one_factor(self) -> bool:
        """Several axes, and every cell differs from the baseline on one of them at most."""
        return len(self.axes) > 1 and self.origin in self.cells and all(self.steps(point) <= 1 for point in self.cells)

    def steps(self, point: Point) -> int:
        """On how many axes ``point`` differs from the baseline."""
        return sum(option != start for option, start in zip(point, self.origin, strict=True))

    def moved(self, point: Point, options: Mapping[str, str]) -> Point:
        """``point`` with other options on some axes."""
        return tuple(options.get(axis, option) for axis, option in zip(self.axes, point, strict=True))

    def at_baseline(self, *axes: str) -> list[Point]:
        """The points of cells that have the baseline's option on these axes."""
        places = [place for place, axis in enumerate(self.axes) if axis in axes]
        return [point for point in self.cells if all(point[place] == self.origin[place] for place in places)]

    def only(self, places: Collection[int]) -> Layout:
        """The same with some of its cells, and the options that they have; the baseline stays."""
        cells = {point: place for point, place in self.cells.items() if place in places}
        axes = {
            axis: tuple(option for option in options if any(point[column] == option for point in cells))
            for column, (axis, options) in enumerate(self.axes.items())
        }
        return replace(self, axes=axes, cells=cells)

    def others(self, axis: str) -> list[str]:
        """The options of an axis beside its baseline."""
        return [option for option in self.axes[axis] if option != self.baseline[axis]]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Weights of cells that make an effect, a mean over ``over`` combinations of the axes that it does not name."""

    axes: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    weights: Weights
    over: int


def lay_out(table: Table, declared: Mapping[str, str]) -> Layout:
    """The layout of a table; ``declared`` has the baseline of some axes, of others it is the first cell's option."""
    known = [place for place, row in enumerate(table.labels.rows) if UNKNOWN not in row]
    rows = {place: list(table.labels.rows[place]) for place in known}
    axes: dict[str, tuple[str, ...]] = {}
    for column, name in enumerate(table.labels.columns):
        options: list[str] = []
        for row in rows.values():
            row[column] = _first_alike(row[column], options)
            if row[column] not in options:
                options.append(row[column])
        if len(options) > 1:
            axes[name] = tuple(options)
    columns = [table.labels.columns.index(name) for name in axes]
    cells: dict[Point, int] = {}
    repeated = []
    for place, row in rows.items():
        point = tuple(row[column] for column in columns)
        if cells.setdefault(point, place) != place:
            repeated.append(place)
    return Layout(
        axes=axes,
        baseline={axis: _start(declared.get(axis), options) for axis, options in axes.items()},
        cells=cells,
        unknown=tuple(place for place in range(len(table.labels.rows)) if place not in rows),
        repeated=tuple(repeated),
    )


def _first_alike(option: str, known: Sequence[str]) -> str:
    """The spelling that an option has had before."""
    if option in known:
        return option
    return next((other for other in known if same_option(option, other)), option)


def _start(declared: str | None, options: Sequence[str]) -> str:
    """The declared option, the first one where none is declared or no cell has it."""
    start = options[0] if declared is None else _first_alike(declared, options)
    return start if start in options else options[0]


def simple_contrasts(layout: Layout) -> Iterator[Contrast]:
    """Each option of each axis against the baseline, where the study has both cells, run or not."""
    for axis in layout.axes:
        for option in layout.others(axis):
            after = layout.moved(layout.origin, {axis: option})
            if layout.origin in layout.cells and after in layout.cells:
                weights = {layout.cells[after]: 1.0, layout.cells[layout.origin]: -1.0}
                yield Contrast(axes=(axis,), before=(layout.baseline[axis],), after=(option,), weights=weights, over=1)


def main_contrasts(layout: Layout) -> Iterator[Contrast]:
    """Each option against the baseline's, the mean over those combinations of other axes that have all its options.

    Where there is one such combination only, it is a simple effect and not repeated here.
    """
    for axis, options in layout.axes.items():
        complete = [
            point
            for point in layout.at_baseline(axis)
            if all(layout.moved(point, {axis: option}) in layout.cells for option in options)
        ]
        if len(complete) > 1:
            for option in layout.others(axis):
                weights: Weights = {}
                for point in complete:
                    weights[layout.cells[layout.moved(point, {axis: option})]] = 1 / len(complete)
                    weights[layout.cells[point]] = -1 / len(complete)
                yield Contrast(
                    axes=(axis,),
                    before=(layout.baseline[axis],),
                    after=(option,),
                    weights=weights,
                    over=len(complete),
                )


def interaction_contrasts(layout: Layout) -> Iterator[Contrast]:
    """By how much the effect on one axis changes with the option of another: differences of differences, averaged."""
    for one, other in combinations(layout.axes, 2):
        starts = layout.at_baseline(one, other)
        for a in layout.others(one):
            for b in layout.others(other):
                squares = [
                    [
                        point,
                        layout.moved(point, {one: a}),
                        layout.moved(point, {other: b}),
                        layout.moved(point, {one: a, other: b}),
                    ]
                    for point in starts
                ]
                squares = [square for square in squares if all(corner in layout.cells for corner in square)]
                weights: Weights = {}
                for square in squares:
                    for corner, sign in zip(square, (1, -1, -1, 1), strict=True):
                        weights[layout.cells[corner]] = sign / len(squares)
                if squares:
                    yield Contrast(
                        axes=(one, other),
                        before=(layout.baseline[one], layout.baseline[other]),
                        after=(a, b),
                        weights=weights,
                        over=len(squares),
                    )
