"""A study as claims are judged by it: its cells, its baseline, and chance as fits of its runs see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnn_ablate.report.cells import Cell
from bnn_ablate.report.claims.cells import Candidate, Leaves, Match
from bnn_ablate.report.claims.planned import leaves_of
from bnn_ablate.report.effects.estimates import Estimator, estimator_of
from bnn_ablate.report.effects.interim import interim_seeds
from bnn_ablate.report.effects.layout import lay_out
from bnn_ablate.report.numbers import counted
from bnn_ablate.report.published.options import Options
from bnn_ablate.report.rows import combined_macs
from bnn_ablate.report.smoke import is_smoke
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``declared`` are the first declaration's seeds, ``added`` those that runs have beside them; None and none where
    nothing was declared. ``declared_alone`` does not see what was added. ``notes`` qualify every verdict of the study.
    """

    table: Table
    cells: tuple[Candidate, ...]
    baseline: Mapping[str, str]
    estimator: Estimator
    declared: tuple[int, ...] | None
    added: frozenset[int]
    declared_alone: Estimator
    notes: tuple[str, ...]

    def has_results(self, match: Match) -> bool:
        return all(self.table.cells[place].records for place in match.cells)

    def can_be_judged(self, match: Match) -> bool:
        """Whether results are there, or may have been: not of a combination that makes no sense."""
        return not any(
            runs and all(run.state == "refused" for run in runs)
            for runs in (self.table.cells[place].runs for place in match.cells)
        )

    def is_smoke_test(self, match: Match) -> bool:
        return is_smoke(self.cells[match.last].leaves)

    def interim(self, match: Match) -> tuple[int, int] | None:
        """How many of how many declared seeds are done in all cells; None where none of them is still to come."""
        if self.declared is None:
            return None
        done = interim_seeds([self.table.cells[place] for place in match.cells], self.declared)
        return None if done is None else (done, len(self.declared))

    def added_seeds(self, match: Match) -> list[int]:
        """Seeds of these cells that the study's first declaration does not have."""
        seeds = {record.seed for place in match.cells for record in self.table.cells[place].records}
        return sorted(seeds & self.added)

    def uneven(self, match: Match) -> tuple[str, ...]:
        """Why the match's own cells alone estimate it; empty where the pooled spread is theirs."""
        part = self.estimator.part_of(match.last)
        if part is None or part.uneven is None:
            return ()
        place = part.uneven.cell
        assert isinstance(place, int)
        labels = self.table.labels
        name = " ".join(f"{axis}={option}" for axis, option in zip(labels.columns, labels.rows[place], strict=True))
        return (
            f"the spread is uneven ({name}: {part.uneven.ratio:.1f} times the pooled one, p = {part.uneven.p:.2g}), so "
            "that it is estimated from its own cells alone",
        )


def subject_of(table: Table, study: Study, options: Options, estimator: Estimator) -> Subject:
    """The cells of ``table``, also those that are planned only, by what ``study`` declared."""
    first = study.declared[0] if study.declared else None
    seeds = {record.seed for cell in table.cells for record in cell.records}
    notes = []
    if first is None:
        notes.append("nothing was declared before the study")
    elif first.done:
        notes.append(f"declared when {counted(first.done, 'run')} had been done")
    leaves = leaves_of(table.cells, options)
    added = frozenset(seeds) - frozenset(first.seeds) if first is not None else frozenset()
    declared = [replace(cell, runs=tuple(run for run in cell.runs if run.seed not in added)) for cell in table.cells]
    return Subject(
        table=table,
        cells=tuple(_candidate(cell, there) for cell, there in zip(table.cells, leaves, strict=True)),
        baseline=lay_out(table, {} if first is None else first.baseline).baseline,
        declared=None if first is None else tuple(first.seeds),
        estimator=estimator,
        added=added,
        declared_alone=estimator_of(declared) if added else estimator,
        notes=tuple(notes),
    )


def _candidate(cell: Cell, leaves: Leaves) -> Candidate:
    if not cell.records:
        return Candidate(leaves=leaves)
    record = cell.records[0]
    return Candidate(
        leaves=leaves,
        size=record.cost.size_bits,
        macs=combined_macs(record),
        images=(record.data.num_train, record.data.num_test),
    )
