"""Means of top-1 for each combination of options of two axes, over the options of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import sqrt

from bnn_ablate.report.charts.cells import cell_options
from bnn_ablate.report.effects.values import StudyEffects
from bnn_ablate.report.stats.student import Mean, t_quantile
from bnn_ablate.report.tables import Table

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """The mean in percent of ``n`` runs, and the half-width of its interval where chance is known."""

    mean: float
    half_width: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Marginals:
    """``means`` by the options of the two axes; each is over the same ``kept`` of ``asked`` combinations of the others.

    A combination of the others in which one of the means has no run is left out of all of them: means over different
    combinations would differ by those.
    """

    means: Mapping[tuple[str, str], Marginal]
    kept: int
    asked: int


def marginals(table: Table, study: StudyEffects, first: str, second: str, at: Mapping[str, str]) -> Marginals:
    """The means for ``first`` and ``second``, other axes as in ``at`` where that names them.

    Cells count equally, whatever their number of runs. The interval is of the pooled spread of the study. Pairs of
    options that no cell has are not among the means.
    """
    others = [axis for axis in study.axes if axis not in (first, second)]
    found: dict[tuple[tuple[str, str], tuple[str, ...]], Mean] = {}
    for options, measured in zip(cell_options(table, study), table.measured, strict=True):
        if measured.top1 is not None and all(options[axis] == option for axis, option in at.items()):
            found[(options[first], options[second]), tuple(options[axis] for axis in others)] = measured.top1

    there = {pair for pair, _ in found}
    pairs = [pair for pair in product(study.axes[first], study.axes[second]) if pair in there]
    combinations = list(dict.fromkeys(rest for _, rest in found))
    kept = [rest for rest in combinations if all((pair, rest) in found for pair in pairs)]
    if not kept:
        return Marginals(means={}, kept=0, asked=len(combinations))
    means = {pair: _mean([found[pair, rest] for rest in kept], study) for pair in pairs}
    return Marginals(means=means, kept=len(kept), asked=len(combinations))


def _mean(cells: list[Mean], study: StudyEffects) -> Marginal:
    half = None
    if study.sd and study.df > 0:
        error = study.sd * sqrt(sum(1 / cell.n for cell in cells)) / len(cells)
        half = t_quantile(study.df, (1 + LEVEL) / 2) * error
    return Marginal(
        mean=sum(cell.mean for cell in cells) / len(cells), half_width=half, n=sum(cell.n for cell in cells)
    )
