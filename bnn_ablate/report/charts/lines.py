"""Values by epoch: for each cell the mean over its seeds, and the seeds as thin lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bnn_ablate.report.charts.key import draw_key, look
from bnn_ablate.report.charts.style import LINE, TICKS, WIDTH, drawn, panel, sheet

#: Lines that a row of panels can hold and still be read, and rows on a page.
A_ROW, ROWS = 8, 3
MOST = A_ROW * ROWS
PANEL_HEIGHT, LEFT, BETWEEN, RIGHT, AXIS, GAP = 50.0, 14.0, 14.0, 3.0, 10.0, 5.0
KEY_COLUMNS = 2
#: Trainings of at least so many epochs have their second half drawn once more, on a scale of its own.
ZOOMED = 6


@dataclass(frozen=True, kw_only=True)
class Line:
    """A cell's ``name`` and for each of its seeds the values by epoch, counted from 1."""

    name: str
    seeds: tuple[Mapping[int, float], ...]

    @property
    def mean(self) -> dict[int, float]:
        """The mean at each epoch of which every seed has a value: elsewhere it would jump where a seed ends."""
        common = set.intersection(*(set(seed) for seed in self.seeds))
        return {epoch: fmean(seed[epoch] for seed in self.seeds) for epoch in sorted(common)}


@drawn
def lines_figure(lines: Sequence[Line], ylabel: str, heading: str, *, from_zero: bool = False) -> Figure:
    """At most :data:`MOST` lines, spread evenly over as few rows as can hold them; one scale for all rows.

    A row shows the whole training and, right of it, its second half, in which the cells lie close together.
    """
    groups = _spread(lines)
    keys = [LINE * (bool(heading) + -(-len(group) // KEY_COLUMNS)) for group in groups]
    figure = sheet(WIDTH, sum(keys) + (PANEL_HEIGHT + AXIS + GAP) * len(groups))
    last = max(epoch for line in lines for seed in line.seeds for epoch in seed)
    halves = [0, last // 2] if last >= ZOOMED else [0]
    width = (WIDTH - LEFT - RIGHT - BETWEEN * (len(halves) - 1)) / len(halves)
    ends = [_ends(lines, after=first, from_zero=from_zero) for first in halves]
    top = GAP / 2
    for group, key in zip(groups, keys, strict=True):
        for column, (first, (low, high)) in enumerate(zip(halves, ends, strict=True)):
            axes = panel(figure, LEFT + column * (width + BETWEEN), top, width, PANEL_HEIGHT)
            for index, line in enumerate(group):
                draw_line(axes, line, index, marks_of=len(group))
            axes.set_xlim(first + 0.5, last + 0.5)
            axes.set_ylim(low, high)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=TICKS, integer=True))
            axes.grid()
            axes.set_xlabel("epoch, second half" if first else "epoch", labelpad=1)
            if not column:
                axes.set_ylabel(ylabel)
        names = [line.name for line in group]
        draw_key(
            figure,
            names,
            left=LEFT,
            top=top + PANEL_HEIGHT + AXIS,
            room=WIDTH - LEFT,
            heading=heading,
            columns=KEY_COLUMNS,
        )
        top += PANEL_HEIGHT + AXIS + key + GAP
    return figure


def _ends(lines: Sequence[Line], *, after: int, from_zero: bool) -> tuple[float, float]:
    """The lowest and the highest value of any seed in the epochs past ``after``, with a margin."""
    values = [value for line in lines for seed in line.seeds for epoch, value in seed.items() if epoch > after]
    low, high = 0.0 if from_zero else min(values), max(values)
    margin = 0.05 * (high - low) if high > low else 0.5
    return 0.0 if from_zero else low - margin, high + margin


def draw_line(axes: Axes, line: Line, index: int, *, marks_of: int, scale: float = 1.0) -> None:
    """One cell in the look of ``index``; ``marks_of`` lines share the places for markers. Epochs times ``scale``."""
    style = look(index)
    if len(line.seeds) > 1:
        xs: list[float] = []
        ys: list[float] = []
        for seed in line.seeds:
            # one path with gaps: half the time and a third of the bytes of as many lines
            xs += [*(epoch * scale for epoch in sorted(seed)), nan]
            ys += [*(seed[epoch] for epoch in sorted(seed)), nan]
        axes.plot(xs, ys, color=style["color"], linewidth=0.5, alpha=0.45, zorder=1)
    mean = line.mean
    every = max(1, len(mean) // 6)
    axes.plot(
        [epoch * scale for epoch in mean],
        list(mean.values()),
        markevery=(index * every // marks_of, every),
        zorder=2.5,
        **style,
    )


def _spread(lines: Sequence[Line]) -> list[Sequence[Line]]:
    count = -(-len(lines) // A_ROW)
    size = -(-len(lines) // count)
    return [lines[start : start + size] for start in range(0, len(lines), size)]
