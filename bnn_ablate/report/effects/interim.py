"""Declared seeds that are still to come: until then an effect is looked at, and nothing is found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.effects.values import INTERIM
from bnn_ablate.report.runs import GONE


def interim_finding(cells: Sequence[Cell], declared: Collection[int]) -> str | None:
    """``interim, 2 of 8 seeds``; None where all are done or lost."""
    done = interim_seeds(cells, declared)
    return None if done is None else f"{INTERIM}, {done} of {len(declared)} seeds"


def interim_seeds(cells: Sequence[Cell], declared: Collection[int]) -> int | None:
    """How many of the declared seeds all cells have results of; None where all are done or lost."""
    if all(_settled(cell, declared) == len(declared) for cell in cells):
        return None
    return len(set(declared).intersection(*({record.seed for record in cell.records} for cell in cells)))


def _settled(cell: Cell, declared: Collection[int]) -> int:
    """How many of the declared seeds are done or lost; a broken run whose seed nobody can read is one of them."""
    runs = [run for run in cell.runs if run.state in ("done", *GONE)]
    named = {run.seed for run in runs} & set(declared)
    return min(len(declared), len(named) + sum(run.seed is None for run in runs))
