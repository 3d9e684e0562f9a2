"""Accuracy against what it costs: a point a cell, and the front of those that no other cell beats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bnn_ablate.report.charts.cells import undrawn
from bnn_ablate.report.charts.front import Point, front, interval_ends
from bnn_ablate.report.charts.front_names import name_front, names_of
from bnn_ablate.report.charts.key import draw_key, look
from bnn_ablate.report.charts.style import (
    BLACK,
    COLOURS,
    WIDTH,
    drawn,
    make_chart,
    panel,
    sheet,
)
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.tables import Table

PANEL_HEIGHT, LEFT, TOP, FOOT, KEY = 72.0, 14.0, 4.0, 11.0, 46.0
#: Costs within this factor count as equal, as in matched networks: there is nothing to trade accuracy for.
MATCHED = 1.02
#: Costs that differ by more than this factor stand on a logarithmic axis.
DECADE = 10.0
#: Share of the costs' range left free on both sides.
MARGIN = 0.08
#: By how many points of type cells of one cost stand apart, and at most all together.
ASIDE, MOST_ASIDE = 6.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a chart has along x: its ``name`` as in the file, the axis' ``title``."""

    name: str
    title: str


SIZE = Cost(name="size", title="size, MiB")
MACS = Cost(name="macs", title="MACs an image, millions (float + binary / 64)")
LATENCY = Cost(name="latency", title="packed network, ms an image")


def cost_charts(table: Table, effects: StudyEffects | None, title: str = "") -> list[Chart]:
    """Top-1 against size, against MACs and against latency, each where cells differ in it by more than two per cent.

    A cell of more than one size or number of MACs is left out. Times are those of the one machine, kernel and number of
    threads that most cells were measured with, because others do not compare. ``title`` says whose cells they are,
    where that is not the name of the table.
    """
    machines = Counter(machine for measured in table.measured for machine in measured.latency_ms)
    machine = min(machines, key=lambda one: (-machines[one], one), default="")
    costs = (
        (SIZE, [measured.size_mib for measured in table.measured]),
        (MACS, [tuple(macs / 1e6 for macs in measured.macs) for measured in table.measured]),
        (LATENCY, [(m.latency_ms[machine],) if machine in m.latency_ms else () for m in table.measured]),
    )
    charts = []
    axis, options = _told_apart(table, effects)
    groups = _groups(table, axis, options)
    for cost, values in costs:
        points, cells = [], []
        for cell, (value, measured, group) in enumerate(zip(values, table.measured, groups, strict=True)):
            if measured.top1 is not None and len(value) == 1:
                points.append(Point(name="", cost=value[0], top1=measured.top1, group=group))
                cells.append(cell)
        if not _spread([point.cost for point in points]):
            continue
        members = front(points)
        names, told = names_of(table, effects, [cells[place] for place in members])
        for place, name in zip(members, names, strict=True):
            points[place] = replace(points[place], name=name)
        unknown = sum(measured.top1 is not None for measured in table.measured) - len(points)
        where = f" Measured on {machine}." if cost is LATENCY else ""
        more = undrawn(table) + (f" {unknown} cells have no such number, or more than one." if unknown else "")
        charts.append(
            make_chart(
                cost_figure(points, cost.title, axis, options),
                name=f"{table.name}.{cost.name}",
                title=f"{title if title else table.name}: accuracy against {cost.title.partition(',')[0]}",
                kind="cost",
                caption=f"On the front, from the cheapest{told}.{where}{more}",
            )
        )
    return charts


def _spread(costs: Sequence[float]) -> bool:
    """Whether a chart over these costs would say anything."""
    return len(costs) > 1 and max(costs) > MATCHED * min(costs)


def _told_apart(table: Table, effects: StudyEffects | None) -> tuple[str, tuple[str, ...]]:
    """The axis whose options get colours: the first of a few; in a one-factor study nearly all cells share one."""
    for column, axis in enumerate(table.labels.columns):
        options = tuple(dict.fromkeys(row[column] for row in table.labels.rows))
        if 2 <= len(options) <= len(COLOURS) and not (effects is not None and effects.one_factor):
            return axis, options
    return "", ()


def _groups(table: Table, axis: str, options: Sequence[str]) -> list[int]:
    if not axis:
        return [0] * len(table.cells)
    column = table.labels.columns.index(axis)
    return [options.index(row[column]) for row in table.labels.rows]


@drawn
def cost_figure(points: Sequence[Point], title: str, axis: str = "", options: Sequence[str] = ()) -> Figure:
    """The points, the front as a step line with filled markers, and the names of its members where there is room."""
    figure = sheet(WIDTH, TOP + PANEL_HEIGHT + FOOT)
    width = WIDTH - LEFT - (KEY if options else 0) - 4
    axes = panel(figure, LEFT, TOP, width, PANEL_HEIGHT)
    members = front(points)
    _scale(axes, points)
    xs = _side_by_side(axes, points, members)
    for group in sorted({point.group for point in points}):
        style = look(group)
        inside = [place for place, point in enumerate(points) if point.group == group]
        ends = [(xs[place], end) for place in inside for end in (*interval_ends(points[place]), nan)]
        axes.plot([x for x, _ in ends], [end for _, end in ends], color=style["color"], linewidth=0.9)
        for on_front in (False, True):
            shown = [place for place in inside if (place in members) == on_front]
            axes.plot(
                [xs[place] for place in shown],
                [points[place].top1.mean for place in shown],
                linestyle="none",
                marker=style["marker"],
                markerfacecolor=style["color"] if on_front else "white",
                markeredgecolor=style["color"],
                zorder=4 if on_front else 3,
            )
    best = [(points[place].cost, points[place].top1.mean) for place in members]
    best.append((axes.get_xlim()[1], best[-1][1]))
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color=BLACK, linewidth=0.9, zorder=2)
    axes.grid()
    axes.set_xlabel(title)
    axes.set_ylabel("top-1, %")
    name_front(axes, points, xs, members)
    if options:
        left = LEFT + width + 4
        groups = sorted({point.group for point in points})
        looks = [{**look(group), "linestyle": "none"} for group in groups]
        draw_key(
            figure,
            [options[group] for group in groups],
            left=left,
            top=TOP,
            room=WIDTH - left - 1,
            heading=axis,
            looks=looks,
        )
    return figure


def _side_by_side(axes: Axes, points: Sequence[Point], members: Collection[int]) -> list[float]:
    """Where each point is drawn along x, in the unit of the costs.

    Cells of one cost stand side by side, so that their intervals can be told apart; the front's has the true place.
    """
    places: dict[float, list[int]] = {}
    for place, point in enumerate(points):
        places.setdefault(point.cost, []).append(place)
    xs = [point.cost for point in points]
    data = axes.transData
    for cost, same in places.items():
        step = min(ASIDE, MOST_ASIDE / len(same))
        for turn, place in enumerate(sorted(same, key=lambda place: place not in members)):
            if turn:
                x, y = data.transform((cost, points[place].top1.mean))
                aside = step * ((turn + 1) // 2) * (-1 if turn % 2 else 1)
                xs[place] = float(data.inverted().transform((x + aside, y))[0])
    return xs


def _scale(axes: Axes, points: Sequence[Point]) -> None:
    low, high = (pick(point.cost for point in points) for pick in (min, max))
    if low > 0 and high > DECADE * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        room = (high / low) ** MARGIN
        axes.set_xlim(low / room, high * room)
    else:
        room = MARGIN * (high - low)
        axes.set_xlim(low - room, high + room)
    bottom = min(interval_ends(point)[0] for point in points)
    top = max(interval_ends(point)[1] for point in points)
    room = MARGIN * (top - bottom) if top > bottom else 0.5
    axes.set_ylim(bottom - room, top + room)
