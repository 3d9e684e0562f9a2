"""Whether a choice does the same beside each option of another: lines that run side by side, or do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnn_ablate.report.charts.key import draw_key, look
from bnn_ablate.report.charts.marginals import Marginals, marginals
from bnn_ablate.report.charts.style import GREY, LINE, WIDTH, drawn, fitted, make_chart, panel, sheet, signed
from bnn_ablate.report.effects.values import Effect, StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.tables import Table

#: Two panels stand side by side, three rows of them on a page.
PANEL_WIDTH, PANEL_HEIGHT, LEFT, ABOVE, AXIS, GAP = 66.0, 42.0, 14.0, 6.0 + LINE, 10.0, 4.0
A_ROW, A_PAGE, MOST = 2, 6, 12
#: Share of the distance of two options by which lines stand apart, so that their intervals do.
APART = 0.07


@dataclass(frozen=True, kw_only=True)
class Panel:
    """``along`` is the axis on x, ``lines`` the other; what is ``said`` of both stands above, below their names."""

    along: str
    lines: str
    options: tuple[str, ...]
    line_options: tuple[str, ...]
    marginals: Marginals
    #: Whether the means are by (along, lines) or by (lines, along).
    turned: bool
    said: str

    @property
    def pair(self) -> str:
        return f"{self.along} and {self.lines}"


def interaction_charts(table: Table, study: StudyEffects) -> list[Chart]:
    """A panel for each pair of axes with an estimated interaction, six a chart; none where there are no such pairs."""
    panels = interaction_panels(table, study)
    cut = f" The first {MOST} of {len(panels)} pairs of axes." if len(panels) > MOST else ""
    panels = panels[:MOST]
    charts = []
    for start in range(0, len(panels), A_PAGE):
        page = panels[start : start + A_PAGE]
        number = f"-{start // A_PAGE + 1}" if len(panels) > A_PAGE else ""
        left_out = [
            f" {one.pair}: over {one.marginals.kept} of {one.marginals.asked} combinations of the "
            "other axes, because the others lack a cell."
            for one in page
            if one.marginals.kept < one.marginals.asked
        ]
        charts.append(
            make_chart(
                interactions_figure(page),
                name=f"{study.study}.interactions{number}",
                title=f"{study.study}: interactions",
                kind="interactions",
                caption=f"Pairs of axes: {'; '.join(one.pair for one in page)}.{''.join(left_out)}{cut}",
            )
        )
    return charts


def interaction_panels(table: Table, study: StudyEffects) -> list[Panel]:
    """A panel for each pair of axes with an estimate and with means to draw; the axis of more options lies along x."""
    pairs = dict.fromkeys((effect.axes, tuple(effect.at.items())) for effect in study.interactions)
    panels = []
    for axes, at in pairs:
        effects = [e for e in study.interactions if (e.axes, tuple(e.at.items())) == (axes, at)]
        made = _panel_of(table, study, effects)
        if made is not None:
            panels.append(made)
    return panels


def _panel_of(table: Table, study: StudyEffects, effects: Sequence[Effect]) -> Panel | None:
    first, second = effects[0].axes
    means = marginals(table, study, first, second, effects[0].at)
    if len(means.means) < 3:  # two means have no interaction
        return None
    turned = len(study.axes[second]) > len(study.axes[first])
    along, lines = (second, first) if turned else (first, second)
    said = said_of(effects[0]) if len(effects) == 1 else f"{len(effects)} interactions: see the table"
    return Panel(
        along=along,
        lines=lines,
        options=study.axes[along],
        line_options=study.axes[lines],
        marginals=means,
        turned=turned,
        said=said,
    )


def said_of(effect: Effect) -> str:
    """The interaction in a line: its value, its interval and what may be said of it."""
    ends = effect.estimate.interval(0.95)
    between = f" [{signed(ends[0])}, {signed(ends[1])}]" if ends is not None else ""
    return f"{signed(effect.estimate.value)}{between}: {effect.finding}"


@drawn
def interactions_figure(panels: Sequence[Panel]) -> Figure:
    """Panels side by side; each has its own scale, because nothing is compared between them."""
    columns = min(A_ROW, len(panels))
    rows = [panels[start : start + A_ROW] for start in range(0, len(panels), A_ROW)]
    heights = [
        ABOVE + PANEL_HEIGHT + AXIS + GAP + max(LINE * (1 + len(one.line_options)) for one in row) for row in rows
    ]
    figure = sheet(WIDTH / A_ROW * columns, sum(heights))
    for row, members in enumerate(rows):
        top = sum(heights[:row]) + ABOVE
        for column, one in enumerate(members):
            left = column * WIDTH / A_ROW + LEFT
            _draw(panel(figure, left, top, PANEL_WIDTH, PANEL_HEIGHT), one)
            draw_key(
                figure,
                one.line_options,
                left=left,
                top=top + PANEL_HEIGHT + AXIS,
                room=PANEL_WIDTH,
                heading=one.lines,
            )
    return figure


def _draw(axes: Axes, one: Panel) -> None:
    for index, line in enumerate(one.line_options):
        shift = (index - (len(one.line_options) - 1) / 2) * min(APART, 0.5 / len(one.line_options))
        style = look(index)
        found = [
            (place + shift, one.marginals.means[key])
            for place, option in enumerate(one.options)
            if (key := (line, option) if one.turned else (option, line)) in one.marginals.means
        ]
        axes.plot([x for x, _ in found], [m.mean for _, m in found], color=style["color"], linestyle=style["linestyle"])
        for x, mean in found:
            if mean.half_width is not None:
                ends = (mean.mean - mean.half_width, mean.mean + mean.half_width)
                axes.plot((x, x), ends, color=style["color"], linewidth=1.0, solid_capstyle="butt")
            face = style["color"] if mean.half_width is not None else "white"
            axes.plot([x], [mean.mean], markerfacecolor=face, **style)
    room = PANEL_WIDTH / len(one.options) - 1
    axes.set_xticks(range(len(one.options)), [fitted(option, room) for option in one.options])
    axes.set_xlim(-0.4, len(one.options) - 0.6)
    axes.margins(y=0.08)
    axes.grid(axis="y")
    axes.set_ylabel("top-1, %")
    axes.set_xlabel(fitted(one.along, PANEL_WIDTH), labelpad=2)
    pair, said = fitted(one.pair, PANEL_WIDTH + 4), fitted(one.said, PANEL_WIDTH + 4)
    axes.text(0, 1 + (2.5 + LINE) / PANEL_HEIGHT, pair, transform=axes.transAxes, weight="bold")
    axes.text(0, 1 + 2.5 / PANEL_HEIGHT, said, transform=axes.transAxes, color=GREY)
