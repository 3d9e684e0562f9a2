"""Declared seeds that are still to come: until then an effect is looked at, and nothing is found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.values import INTERIM

#: States in which a run will not change any more by itself: a result, or the reason why there is none.
SETTLED = ("done", "failed", "diverged", "refused", "broken")


def interim_finding(cells: Sequence[Cell], declared: Collection[int]) -> str | None:
    """``interim, 2 of 8 seeds``: those that all cells have results of; None where all are done or lost."""
    if all(_settled(cell, declared) == len(declared) for cell in cells):
        return None
    done = set(declared).intersection(*({record.seed for record in cell.records} for cell in cells))
    return f"{INTERIM}, {len(done)} of {len(declared)} seeds"


def _settled(cell: Cell, declared: Collection[int]) -> int:
    """How many of the declared seeds are done or lost; a broken run whose seed nobody can read is one of them."""
    runs = [run for run in cell.runs if run.state in SETTLED]
    named = {run.seed for run in runs} & set(declared)
    return min(len(declared), len(named) + sum(run.seed is None for run in runs))
