"""A cell's curve over one that the paper's authors logged for the same choices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bnn_ablate.report.charts.cells import cell_names, naming
from bnn_ablate.report.charts.curves import cell_curves
from bnn_ablate.report.charts.key import draw_key, look
from bnn_ablate.report.charts.lines import Line, draw_line
from bnn_ablate.report.charts.style import BLACK, LINE, WIDTH, drawn, fitted, make_chart, panel, sheet
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.published.figures import PublishedError, PublishedFile, PublishedRow
from bnn_ablate.report.tables import Table

#: Two panels stand side by side, four rows of them on a page.
PANEL_WIDTH, PANEL_HEIGHT, LEFT, FOOT = 66.0, 34.0, 14.0, 11.0
A_ROW, A_PAGE = 2, 8
THEIRS: dict[str, Any] = {"color": BLACK, "linestyle": "-", "linewidth": 0.9}

SOURCE = "Source of theirs: the authors' logs (hpi-xnor/BMXNet-v2-wiki)."


@dataclass(frozen=True, kw_only=True)
class LoggedCurve:
    """One run of the authors: test top-1 in percent by epoch, counted from 1, of ``epochs`` that were planned."""

    log: str
    epochs: int
    top1: Mapping[int, float]
    width: float = 1.0


def logged_curves(curves: PublishedFile, runs: PublishedFile, logs: Collection[str]) -> dict[str, LoggedCurve]:
    """The logs that are named, from curves.csv and runs.csv, which says how many epochs were planned.

    Raises PublishedError, naming the file and the line, for what is no number, and for a log that is not there.
    """
    found: dict[str, dict[int, float]] = {log: {} for log in logs}
    for row in curves.rows:
        if row.cells["log"] in found:
            found[row.cells["log"]][int(_number(row, "epoch"))] = _number(row, "val_top1")
    missing = [log for log, top1 in found.items() if not top1]
    if missing:
        raise PublishedError(f"{curves.name}: there is no curve of the log {', '.join(missing)}")
    return {
        log: LoggedCurve(log=log, epochs=int(_number(runs.one(log=log), "epochs")), top1=top1)
        for log, top1 in found.items()
    }


def _number(row: PublishedRow, column: str) -> float:
    figure = row.figure(column)
    if figure is None or figure.value is None:
        raise PublishedError(f"{row.file}, line {row.line}, column {column}: a number is needed")
    return figure.value


def authors_charts(table: Table, effects: StudyEffects | None, pairs: Iterable[tuple[int, LoggedCurve]]) -> list[Chart]:
    """A panel for each cell, by its place in the table, and its log, eight a chart; cells without runs have none."""
    panels = []
    names = cell_names(table, effects)
    for place, logged in pairs:
        cell = table.cells[place]
        if cell_curves(cell):
            line = Line(name=names[place], seeds=cell_curves(cell))
            width = cell.leaves.get("model.width")
            panels.append(Pair(ours=line, width=width, logged=logged))
    axes = naming(table, effects)
    charts = []
    for start in range(0, len(panels), A_PAGE):
        number = f"-{start // A_PAGE + 1}" if len(panels) > A_PAGE else ""
        charts.append(
            make_chart(
                authors_figure(panels[start : start + A_PAGE]),
                name=f"{table.name}.authors{number}",
                title=f"{table.name}: our curves over the authors'",
                kind="authors",
                caption=(f"Above each panel: {axes} of the cell. " if axes else "") + SOURCE,
            )
        )
    return charts


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A cell's curve, the width of its network as the configuration has it, and the authors' curve."""

    ours: Line
    width: str | None
    logged: LoggedCurve


@drawn
def authors_figure(pairs: Sequence[Pair]) -> Figure:
    """Panels of one scale, so that they compare."""
    above, below = LINE + 1.5, 9.0 + 2 * LINE + 3
    rows = -(-len(pairs) // A_ROW)
    height = above + PANEL_HEIGHT + below
    figure = sheet(WIDTH / A_ROW * min(A_ROW, len(pairs)), rows * height + 4)
    every = [value for pair in pairs for curve in (*pair.ours.seeds, pair.logged.top1) for value in curve.values()]
    margin = 0.04 * (max(every) - min(every))
    for index, pair in enumerate(pairs):
        row, column = divmod(index, A_ROW)
        left, top = column * WIDTH / A_ROW + LEFT, row * height + above
        axes = panel(figure, left, top, PANEL_WIDTH, PANEL_HEIGHT)
        theirs = pair.logged
        epochs = sorted(theirs.top1)
        axes.plot(
            [100 * epoch / theirs.epochs for epoch in epochs],
            [theirs.top1[epoch] for epoch in epochs],
            **THEIRS,
        )
        length = max(max(seed) for seed in pair.ours.seeds)
        draw_line(axes, pair.ours, 0, marks_of=1, scale=100 / length)
        axes.set_xlim(0, 102)
        axes.set_ylim(min(every) - margin, max(every) + margin)
        axes.grid()
        axes.set_ylabel("test top-1, %")
        axes.set_xlabel("share of the training, %", labelpad=1)
        name = fitted(pair.ours.name, PANEL_WIDTH)
        axes.text(0, 1 + 2 / PANEL_HEIGHT, name, transform=axes.transAxes, weight="bold")
        width = f"width {pair.width}, " if pair.width is not None else ""
        ours = f"ours: {counted(length, 'epoch')}, {width}n {len(pair.ours.seeds)}"
        logged = f"authors: {counted(theirs.epochs, 'epoch')}, width {theirs.width:g}, log {theirs.log}"
        draw_key(
            figure,
            [ours, logged],
            left=left - 8,
            top=top + PANEL_HEIGHT + 9,
            room=PANEL_WIDTH + 12,
            looks=[look(0), THEIRS],
        )
    return figure
