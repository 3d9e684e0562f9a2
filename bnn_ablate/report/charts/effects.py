"""Effects with their intervals, a line each, grouped by axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnn_ablate.report.charts.style import (
    BAND,
    BLUE,
    GREY,
    HEIGHT,
    WIDTH,
    drawn,
    fitted,
    make_chart,
    panel,
    sheet,
    text_width,
)
from bnn_ablate.report.effects.values import Effect, StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.stats.estimate import Estimate

#: Millimetres: from row to row, the head above them with the titles of columns, the axis below.
ROW, HEAD, FOOT = 5.2, 6.0, 11.0
MOST_PAGES = 2
#: Where the text right of the intervals begins, from the right edge: n, and what may be said.
N_AT, FINDING_AT = 47.0, 40.0
LONGEST_LABEL = 52.0

REMARK = "†"


def effects_charts(study: StudyEffects, effects: Sequence[Effect]) -> list[Chart]:
    """The charts of effects of one kind, more than one where they do not fit a page; none without effects."""
    pages = _pages(effects)[:MOST_PAGES]
    shown = sum(map(len, pages))
    cut = f" The first {shown} of {len(effects)} effects; the table has all." if shown < len(effects) else ""
    charts = []
    for number, page in enumerate(pages, start=1):
        kind = page[0].kind
        of = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        charts.append(
            make_chart(
                effects_figure(page, study.margin),
                name=f"{study.study}.{kind}-effects" + (f"-{number}" if len(pages) > 1 else ""),
                title=f"{study.study}: {kind} effects{of}",
                kind="effects",
                caption=f"The margin is ±{study.margin:g} points.{cut}" + remarks(page),
            )
        )
    return charts


def remarks(effects: Sequence[Effect]) -> str:
    """What qualifies the findings that are marked."""
    told = [f" {REMARK} {change_of(effect)}: {'; '.join(effect.remarks)}." for effect in effects if effect.remarks]
    return "".join(told)


def change_of(effect: Effect) -> str:
    """``grad: ste → approxsign``."""
    return f"{effect.axes[0]}: {effect.before[0]} → {effect.after[0]}"


@drawn
def effects_figure(effects: Sequence[Effect], margin: float) -> Figure:
    """One row an effect in the given order, below a heading for each axis."""
    labels = [fitted(f"{effect.before[0]} → {effect.after[0]}", LONGEST_LABEL) for effect in effects]
    headings = [fitted(axis, LONGEST_LABEL) for axis, _ in _by_axis(effects)]
    left = max(text_width(text) for text in (*labels, *headings)) + 8
    rows = len(labels) + len(headings)
    figure = sheet(WIDTH, HEAD + rows * ROW + FOOT)
    axes = panel(figure, left, HEAD, WIDTH - left - N_AT - 8, rows * ROW)
    axes.axvspan(-margin, margin, color=BAND, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.8)

    row = 0
    beside = axes.get_yaxis_transform()
    for axis, group in _by_axis(effects):
        axes.text(_mm(axes, 3 - left), row, fitted(axis, LONGEST_LABEL), transform=beside, va="center", weight="bold")
        row += 1
        for effect in group:
            label = fitted(f"{effect.before[0]} → {effect.after[0]}", LONGEST_LABEL)
            axes.text(_mm(axes, 6 - left), row, label, transform=beside, va="center")
            _draw(axes, row, effect.estimate)
            at = 1 + _mm(axes, 8 + 4)
            axes.text(at, row, str(effect.estimate.n), transform=beside, va="center", ha="right")
            said = fitted(effect.finding, FINDING_AT - 5) + (f" {REMARK}" if effect.remarks else "")
            axes.text(1 + _mm(axes, 8 + N_AT - FINDING_AT), row, said, transform=beside, va="center")
            row += 1
    axes.text(1 + _mm(axes, 8 + 4), -1, "n", transform=beside, va="center", ha="right", color=GREY)
    axes.text(1 + _mm(axes, 8 + N_AT - FINDING_AT), -1, "finding", transform=beside, va="center", color=GREY)

    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.margins(x=0.04)
    axes.set_xlabel("effect on top-1, points (grey: the margin)")
    return figure


def _draw(axes: Axes, row: int, estimate: Estimate) -> None:
    for level, width in ((0.95, 1.0), (0.90, 3.0)):
        ends = estimate.interval(level)
        if ends is not None:
            axes.plot(ends, (row, row), color=BLUE, linewidth=width, solid_capstyle="butt")
    known = estimate.interval(0.95) is not None
    axes.plot(
        [estimate.value],
        [row],
        marker="o",
        markersize=5.5,
        markerfacecolor=BLUE if known else "white",
        markeredgecolor="white" if known else BLUE,
        markeredgewidth=0.7 if known else 1.2,
        linestyle="none",
    )


def _mm(axes: Axes, length: float) -> float:
    """Millimetres as a share of the width of the axes."""
    return length / (axes.get_position().width * WIDTH)


def _by_axis(effects: Sequence[Effect]) -> list[tuple[str, list[Effect]]]:
    return [(axis, list(group)) for axis, group in groupby(effects, key=lambda effect: effect.axes[0])]


def _pages(effects: Sequence[Effect]) -> list[list[Effect]]:
    """As many effects a page as fit with their headings; an axis with many options goes on with its heading again."""
    most = int((HEIGHT - HEAD - FOOT) / ROW)
    pages: list[list[Effect]] = []
    for effect in effects:
        if pages and len(pages[-1]) + 1 + len(_by_axis([*pages[-1], effect])) <= most:
            pages[-1].append(effect)
        else:
            pages.append([effect])
    return pages
