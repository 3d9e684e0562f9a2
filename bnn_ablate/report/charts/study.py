"""All charts of a study, in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from bnn_ablate.report.charts.authors import LoggedCurve, authors_charts
from bnn_ablate.report.charts.curves import Flips, curves_chart, flips_chart
from bnn_ablate.report.charts.effects import effects_charts
from bnn_ablate.report.charts.interactions import interaction_charts
from bnn_ablate.report.charts.pareto import cost_charts
from bnn_ablate.report.charts.waterfall import waterfall_chart
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.grid import Chart
from bnn_ablate.report.tables import Table


def study_charts(
    table: Table,
    effects: StudyEffects | None,
    flips: Flips,
    logged: Iterable[tuple[int, LoggedCurve]] = (),
) -> list[Chart]:
    """Waterfall, effects, interactions, accuracy against cost, curves: whichever the study can fill.

    ``effects`` is None for a table that has none (runs of no study). ``flips`` gives a run's share of flipped signs by
    epoch. ``logged`` pairs the place of a cell in the table with the authors' log of the same choices.
    """
    charts: list[Chart | None] = []
    if effects is not None:
        charts.append(waterfall_chart(table, effects))
        charts += effects_charts(effects, effects.simple)
        charts += effects_charts(effects, effects.main)
        charts += interaction_charts(table, effects)
    charts += cost_charts(table, effects)
    charts += curve_charts(table, effects, flips, logged)
    return [chart for chart in charts if chart is not None]


def curve_charts(
    table: Table, effects: StudyEffects | None, flips: Flips, logged: Iterable[tuple[int, LoggedCurve]]
) -> list[Chart]:
    """Curves with seeds, our curves over the authors' (``logged``: the place of a cell and its log), sign flips."""
    charts = [curves_chart(table, effects), *authors_charts(table, effects, logged), flips_chart(table, effects, flips)]
    return [chart for chart in charts if chart is not None]
