"""A bar chart of a group: one panel a network, milliseconds an image and ratios written at the bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from bnn_ablate.bench.machine import others_text
from bnn_ablate.bench.peers import INT8
from bnn_ablate.bench.results import Group, Row

#: Okabe and Ito's colours, told apart by those who see no red or green; dark enough for white paper.
OURS, PACKED, EIGHT_BITS, FLOATS = "#0072B2", "#E69F00", "#009E73", "#999999"
LEGEND = {"ours, bits": OURS, "others, bits": PACKED, "8 bits": EIGHT_BITS, "float32": FLOATS}
DPI = 150
#: Inches.
WIDTH, BAR, HEAD, TITLE, FOOT = 9.0, 0.25, 0.45, 0.5, 0.3


def write_charts(group: Group, folder: Path, facts: dict[str, str]) -> list[Path]:
    """Write the group's chart as SVG and PNG; the files, none where nothing was measured."""
    panels = [(name, _measured(group, rows)) for name, rows in _panels(group)]
    panels = [(name, rows) for name, rows in panels if rows]
    if not panels:
        return []
    height = sum(len(rows) * BAR + HEAD for _, rows in panels) + TITLE + FOOT
    figure = Figure((WIDTH, height), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 1 - TITLE / height)))
    grid: Any = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, height_ratios=[len(rows) + 0.2 for _, rows in panels]
    )
    for axes, (name, rows) in zip(grid[:, 0], panels, strict=True):
        _panel(axes, group, name, rows)
    widest = max(group.milliseconds(row).high for _, rows in panels for row in rows)
    grid[-1, 0].set_xlim(0, widest * 1.2)
    grid[-1, 0].set_xlabel("milliseconds an image (median; whiskers: quartiles), and how many times ours", fontsize=8)
    handles = [Patch(color=color) for color in LEGEND.values()]
    figure.legend(
        handles, list(LEGEND), loc="upper right", bbox_to_anchor=(1, 1), ncols=len(LEGEND), frameon=False, fontsize=8
    )
    figure.text(0.01, 1 - 0.08 / height, group.title, fontsize=11, fontweight="bold", va="top")
    where = f"{facts['processor']}, kernel {facts['kernel']}, {facts['time']}; {others_text(group.others)}"
    figure.text(0.01, 1 - 0.33 / height, where, fontsize=8, color="#555555", va="top")
    files = [folder / f"{group.key}.svg", folder / f"{group.key}.png"]
    for canvas, file in ((FigureCanvasSVG, files[0]), (FigureCanvasAgg, files[1])):
        canvas(figure)
        figure.savefig(file, dpi=DPI)
    return files


def _panels(group: Group) -> list[tuple[str, list[Row]]]:
    """Rows by the network of ours that they are compared with; float networks come with the first."""
    names = [row.network for row in group.rows if row.ours]
    return [(name, [row for row in group.rows if row.against == name]) for name in names]


def _measured(group: Group, rows: list[Row]) -> list[Row]:
    """What was measured, the fastest first."""
    return sorted((row for row in rows if row.samples), key=lambda row: group.milliseconds(row).median)


def _panel(axes: Any, group: Group, name: str, rows: list[Row]) -> None:
    times = [group.milliseconds(row) for row in rows]
    whiskers = [[t.median - t.low for t in times], [t.high - t.median for t in times]]
    axes.barh(
        range(len(rows)),
        [t.median for t in times],
        xerr=whiskers,
        color=[_color(row) for row in rows],
        height=0.72,
        error_kw={"linewidth": 0.8, "ecolor": "#333333"},
    )
    for i, (row, taken) in enumerate(zip(rows, times, strict=True)):
        ratio = "" if row.ours else f"  {group.ratio(row).median:.1f}x"
        weight = "bold" if row.ours else "normal"
        axes.annotate(
            f"{taken.median:.3g} ms{ratio}",
            (taken.high, i),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            fontweight=weight,
        )
    labels = [row.engine if row.network == name else f"{row.network}, {row.engine}" for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the fastest on top
    axes.set_title(name, loc="left", fontsize=9, fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, labelbottom=True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _color(row: Row) -> str:
    if row.ours:
        return OURS
    if row.network == INT8:
        return EIGHT_BITS
    return PACKED if row.engine.endswith("packed") else FLOATS
