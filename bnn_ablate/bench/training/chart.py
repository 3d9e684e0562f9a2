"""A bar chart of a training benchmark: one panel a group, ratios to the float network's step."""

from __future__ import annotations

import io
from itertools import groupby
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from bnn_ablate.bench.chart import BAR, DPI, FLOATS, FOOT, HEAD, OURS, PACKED, TITLE
from bnn_ablate.bench.machine import BUSY
from bnn_ablate.bench.training.results import Group, Ratio, Results, Row

LEGEND = {"ours": OURS, "other ways to train a binary network": PACKED, "float network": FLOATS}
#: Inches: a panel, and what the contenders' names take.
PANEL, NAMES = 4.6, 2.4


def chart(results: Results) -> dict[str, bytes]:
    """The chart as ``svg`` and ``png``: a line of panels for each batch and width, its panels are its threads."""
    lines = [list(line) for _, line in groupby(results.groups, key=lambda g: (g.load.batch, g.load.features))]
    columns = max(map(len, lines))
    bars = [max(len(_measured(group)) for group in line) for line in lines]
    width, height = PANEL * columns + NAMES, sum(count * BAR + HEAD for count in bars) + 1.4 * TITLE + FOOT
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - 1.4 * TITLE / height)))
    grid: Any = figure.subplots(
        len(lines), columns, squeeze=False, sharex=True, height_ratios=[count + 0.2 for count in bars]
    )
    for line, groups in zip(grid, lines, strict=True):
        for i, axes in enumerate(line):
            if i < len(groups):
                same = i > 0 and _titles(groups[i]) == _titles(groups[0])
                _panel(axes, groups[i], named=not same)
            else:
                axes.set_axis_off()
    ratios = [group.ratio(row, "wall").largest for group in results.groups for row in _measured(group)]
    grid[-1, 0].set_xlim(0, max(ratios) * 1.45)
    for axes in grid[-1]:
        axes.set_xlabel("step over that of the float ResNet18 (whiskers: least and largest)", fontsize=8)
    handles = [Patch(color=color) for color in LEGEND.values()]
    figure.legend(
        handles,
        list(LEGEND),
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.45 / height),
        ncols=len(LEGEND),
        frameon=False,
        fontsize=8,
    )
    figure.text(0.01, 1 - 0.08 / height, "A training step", fontsize=11, fontweight="bold", va="top")
    facts = results.facts
    where = f"{facts['processor']}, kernel {facts['kernel']}, {facts['versions'].split(',')[0]}, {facts['time']}"
    figure.text(0.01, 1 - 0.3 / height, where, fontsize=8, color="#555555", va="top")
    parts = {}
    for canvas, ending in ((FigureCanvasSVG, "svg"), (FigureCanvasAgg, "png")):
        canvas(figure)
        drawn = io.BytesIO()
        figure.savefig(drawn, format=ending, dpi=DPI)
        parts[ending] = drawn.getvalue()
    return parts


def _measured(group: Group) -> list[Row]:
    return [row for row in group.rows if row.samples]


def _titles(group: Group) -> list[str]:
    return [row.title for row in _measured(group)]


def _panel(axes: Any, group: Group, *, named: bool) -> None:
    rows = _measured(group)
    ratios = [group.ratio(row, "wall") for row in rows]
    axes.barh(
        range(len(rows)),
        [ratio.median for ratio in ratios],
        xerr=_whiskers(ratios),
        color=[_color(group, row) for row in rows],
        height=0.72,
        error_kw={"linewidth": 0.8, "ecolor": "#333333"},
    )
    for i, (row, ratio) in enumerate(zip(rows, ratios, strict=True)):
        axes.annotate(
            f"{ratio.median:.2f}   {group.images_per_second(row):,.0f} images/s",
            (ratio.largest, i),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight="bold" if row.ours else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # over the line at 1
        )
    axes.axvline(1, color="#555555", linewidth=0.6, linestyle=":", zorder=0)
    axes.set_yticks(range(len(rows)), _titles(group) if named else [""] * len(rows), fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the reference on top
    busy = group.others is not None and group.others >= BUSY
    disturbed = f" (disturbed: others used {group.others:.2f} processors)" if busy else ""
    axes.set_title(group.load.title + disturbed, loc="left", fontsize=8, fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, labelbottom=True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _whiskers(ratios: list[Ratio]) -> list[list[float]]:
    return [[r.median - r.least for r in ratios], [r.largest - r.median for r in ratios]]


def _color(group: Group, row: Row) -> str:
    if row.ours:
        return OURS
    return FLOATS if row.title.startswith(group.rows[0].title) else PACKED
