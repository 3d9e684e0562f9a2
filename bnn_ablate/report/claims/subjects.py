"""A study as claims are judged by it: its cells, its baseline, and chance as one fit of all its runs sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Candidate, Match
from bnn_ablate.report.claims.counts import is_smoke
from bnn_ablate.report.effects.estimates import Estimator, estimator_of
from bnn_ablate.report.effects.layout import lay_out
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.rows import combined_macs
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``declared_alone`` sees the declared seeds only, where others were ``added``; nothing declared, nothing added.

    ``notes`` qualify every verdict from this study.
    """

    table: Table
    cells: tuple[Candidate, ...]
    baseline: Mapping[str, str]
    estimator: Estimator
    added: frozenset[int]
    declared_alone: Estimator
    notes: tuple[str, ...]

    def has_results(self, match: Match) -> bool:
        return all(self.table.cells[place].records for place in match.cells)

    def is_smoke_test(self, match: Match) -> bool:
        return is_smoke(self.cells[match.last].leaves)

    def added_seeds(self, match: Match) -> list[int]:
        """Seeds of these cells that the study's first declaration does not have."""
        seeds = {record.seed for place in match.cells for record in self.table.cells[place].records}
        return sorted(seeds & self.added)


def subject_of(table: Table, study: Study) -> Subject:
    """Fit the table of ``study``."""
    first = study.declared[0] if study.declared else None
    seeds = {record.seed for cell in table.cells for record in cell.records}
    added = frozenset(seeds) - frozenset(first.seeds) if first is not None else frozenset()
    notes = []
    if first is None:
        notes.append("nothing was declared before the study")
    elif first.done:
        notes.append(f"declared when {counted(first.done, 'run')} had been done")
    estimator = estimator_of(table.cells)
    declared = [replace(cell, runs=tuple(run for run in cell.runs if run.seed not in added)) for cell in table.cells]
    return Subject(
        table=table,
        cells=tuple(map(_candidate, table.cells)),
        baseline=lay_out(table, {} if first is None else first.baseline).baseline,
        estimator=estimator,
        added=added,
        declared_alone=estimator_of(declared) if added else estimator,
        notes=tuple(notes),
    )


def _candidate(cell: Cell) -> Candidate:
    if not cell.records:
        return Candidate(leaves=cell.leaves)
    record = cell.records[0]
    return Candidate(leaves=cell.leaves, size=record.cost.size_bits, macs=combined_macs(record))
