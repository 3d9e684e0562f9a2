"""A one-factor study: the baseline's accuracy, and from it each change."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnn_ablate.report.charts.cells import find_cell
from bnn_ablate.report.charts.effects import REMARK, remarks
from bnn_ablate.report.charts.style import (
    BLACK,
    BLUE,
    GREY,
    HEIGHT,
    VERMILION,
    WIDTH,
    drawn,
    fitted,
    make_chart,
    panel,
    sheet,
    signed,
    text_width,
)
from bnn_ablate.report.effects.values import Effect, StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.stats.student import Mean
from bnn_ablate.report.tables import Table

ROW, HEAD, FOOT = 6.0, 6.0, 11.0
BAR = 0.62
#: From the right edge: the change in points, and what may be said.
CHANGE_AT, FINDING_AT = 44.0, 40.0
LONGEST_LABEL = 56.0


def waterfall_chart(table: Table, study: StudyEffects) -> Chart | None:
    """The chart of a study that changes one thing at a time; None for others, and where the baseline has no result."""
    at = find_cell(table, study, study.baseline)
    baseline = table.measured[at].top1 if at is not None else None
    one_factor = study.one_factor or len(study.axes) == 1
    if not one_factor or not study.simple or baseline is None:
        return None
    most = int((HEIGHT - HEAD - FOOT) / ROW) - 1
    cut = f" The first {most} of {len(study.simple)} changes." if len(study.simple) > most else ""
    baseline_words = ", ".join(f"{axis}={option}" for axis, option in study.baseline.items())
    return make_chart(
        waterfall_figure(baseline, study.simple[:most]),
        name=f"{study.study}.waterfall",
        title=f"{study.study}: from the baseline, one change at a time",
        kind="waterfall",
        caption=f"The baseline is {baseline_words}.{cut}" + remarks(study.simple[:most]),
    )


@drawn
def waterfall_figure(baseline: Mean, changes: tuple[Effect, ...]) -> Figure:
    """A row for the baseline and one for each change, in the order of the study."""
    labels = ["baseline", *(f"{change.axes[0]}={change.after[0]}" for change in changes)]
    labels = [fitted(label, LONGEST_LABEL) for label in labels]
    left = max(map(text_width, labels)) + 5
    rows = len(labels)
    figure = sheet(WIDTH, HEAD + rows * ROW + FOOT)
    width = WIDTH - left - CHANGE_AT - 18
    axes = panel(figure, left, HEAD, width, rows * ROW)
    axes.axvline(baseline.mean, color=GREY, linewidth=0.8)
    beside = axes.get_yaxis_transform()
    change_at, finding_at = (1 + (18 + CHANGE_AT - at) / width for at in (CHANGE_AT, FINDING_AT))

    half = baseline.half_width
    if half is not None:
        _line(axes, 0, baseline.mean - half, baseline.mean + half, BLACK)
    _point(axes, 0, baseline.mean, known=half is not None, colour=BLACK)
    axes.text(change_at, 0, f"{baseline.mean:.2f} %", transform=beside, va="center", ha="right")
    axes.text(finding_at, 0, f"n {baseline.n}", transform=beside, va="center")
    for row, change in enumerate(changes, start=1):
        up = change.estimate.value >= 0
        axes.barh(
            [row],
            [change.estimate.value],
            left=baseline.mean,
            height=BAR,
            color=BLUE if up else "white",
            edgecolor=BLUE if up else VERMILION,
            hatch="" if up else "//////",
            linewidth=0.8,
        )
        ends = change.estimate.interval(0.95)
        if ends is not None:
            _line(axes, row, baseline.mean + ends[0], baseline.mean + ends[1], BLACK)
        _point(axes, row, baseline.mean + change.estimate.value, known=ends is not None, colour=BLACK)
        axes.text(change_at, row, signed(change.estimate.value), transform=beside, va="center", ha="right")
        said = fitted(change.finding, FINDING_AT - 5) + (f" {REMARK}" if change.remarks else "")
        axes.text(finding_at, row, said, transform=beside, va="center")
    for at, title, side in ((change_at, "change", "right"), (finding_at, "finding", "left")):
        axes.text(at, -0.95, title, transform=beside, va="center", ha=side, color=GREY)

    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_yticks(range(rows), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.margins(x=0.05)
    axes.set_xlabel("top-1, % (vertical line: the baseline)")
    return figure


def _line(axes: Axes, row: int, low: float, high: float, colour: str) -> None:
    axes.plot((low, high), (row, row), color=colour, linewidth=1.1, solid_capstyle="butt", zorder=3)


def _point(axes: Axes, row: int, value: float, *, known: bool, colour: str) -> None:
    face = colour if known else "white"
    axes.plot([value], [row], marker="o", markerfacecolor=face, markeredgecolor=colour, linestyle="none", zorder=4)
