"""Names of the points of a front: what they say, and where there is room for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from bnn_ablate.report.charts.cells import cell_names
from bnn_ablate.report.charts.front import Point, interval_ends
from bnn_ablate.report.charts.style import GREY, POINT, fitted, text_width
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.tables import Table

#: Labels of the front: how many, how long in millimetres, how high in points.
LABELS, LONGEST_LABEL, LABEL = 8, 60.0, 10.0
#: Letters of a name that stands beside its point; where one of a chart has more, all have numbers.
MOST_LETTERS = 30


def names_of(table: Table, effects: StudyEffects | None, cells: Sequence[int]) -> tuple[list[str], str]:
    """What each of these cells is called beside its point, and what the caption says of them all.

    Names are of the axes in which these cells differ. Where one is too long they are numbers, and the caption says what
    each has that most of them have not.
    """
    rows = [table.labels.rows[cell] for cell in cells]
    columns = [at for at in range(len(table.labels.columns)) if len({row[at] for row in rows}) > 1]
    axes = [table.labels.columns[at] for at in columns]
    names = [", ".join(row[at] for at in columns) for row in rows]
    if len(cells) == 1 or (effects is not None and effects.one_factor):
        every = cell_names(table, effects)
        names = [every[cell] for cell in cells]
        return names, f": {'; '.join(names)}"
    if all(len(name) <= MOST_LETTERS for name in names):
        return names, f", by {', '.join(axes)}: {'; '.join(names)}"
    usual = [Counter(row[at] for row in rows).most_common(1)[0][0] for at in columns]
    told = []
    for number, row in enumerate(rows, start=1):
        own = [f"{axis}={row[at]}" for at, axis, most in zip(columns, axes, usual, strict=True) if row[at] != most]
        told.append(f"({number}) {', '.join(own) if own else 'no change'}")
    most_have = ", ".join(f"{axis}={most}" for axis, most in zip(axes, usual, strict=True))
    return [str(number) for number in range(1, len(rows) + 1)], f", as changes to {most_have}: {'; '.join(told)}"


def name_front(axes: Axes, points: Sequence[Point], xs: Sequence[float], members: Sequence[int]) -> None:
    """Names beside the front's points, clear of all markers, of each other and, where that can be, of intervals.

    Upper left comes first: by what a front is, no point of another cost lies there. A name without a place is left to
    the caption.
    """
    frame = axes.get_window_extent()
    markers = _around(axes, xs, [(point.top1.mean, point.top1.mean) for point in points])
    intervals = _around(axes, xs, [interval_ends(point) for point in points])
    names: list[Bbox] = []
    for place in members[:: -(-len(members) // LABELS)]:
        name = fitted(points[place].name, LONGEST_LABEL)
        width = text_width(name) / POINT
        own = intervals[place]
        tried = [
            *((x, y) for y in (markers[place].y1, markers[place].y0 - LABEL) for x in (own.x0 - width - 1, own.x1 + 1)),
            *((own.x0 + own.width / 2 - width / 2, y) for y in (own.y1, own.y0 - LABEL)),
        ]
        boxes = [Bbox.from_bounds(x, y, width, LABEL) for x, y in tried]
        inside = [
            b for b in boxes if frame.x0 + 2 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1
        ]
        clear = [box for box in inside if not box.count_overlaps([*intervals, *names])]
        readable = [box for box in inside if not box.count_overlaps([*markers, *names])]
        if not clear and not readable:
            continue
        box = (clear if clear else readable)[0]
        names.append(box)
        x, y = frame.x0, frame.y0
        axes.text(
            (box.x0 - x) / frame.width,
            (box.y0 - y) / frame.height,
            name,
            transform=axes.transAxes,
            color=GREY,
            va="bottom",
            zorder=5,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.3},
        )


def _around(axes: Axes, xs: Sequence[float], spans: Sequence[tuple[float, float]]) -> list[Bbox]:
    """The room of markers, or of intervals, in pixels."""
    low, high = (
        axes.transData.transform([(x, span[end]) for x, span in zip(xs, spans, strict=True)]) for end in (0, 1)
    )
    return [Bbox.from_extents(x - 3, y0 - 3, x + 3, y1 + 3) for (x, y0), (_, y1) in zip(low, high, strict=True)]
